//! More files than may be open at once.

use super::*;

#[tokio::test]
async fn more_files_than_may_be_open_are_read() {
    let bench = Bench::new();
    let path = |n: usize| bench.path(&format!("{n}.log"));
    let count = 120;
    (0..count).for_each(|n| append(&path(n), &line(n)));
    let allowed = OpenFiles::new(100, 1).into();
    let tailing = start_among(&bench, input(&bench, &["*.log"]), allowed).await;
    bench.got.count(count).await;
    (0..count).for_each(|n| append(&path(n), &line(count + n)));
    bench.got.count(2 * count).await;
    assert_eq!(numbers(&bench), (0..2 * count).collect::<Vec<_>>());
    assert!(open_files(&bench.path("")) <= 19, "18 and the one whose turn it is");
    tailing.stop().await;
}

fn open_files(folder: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter_map(|link| fs::read_link(link.ok()?.path()).ok())
        .filter(|file| file.starts_with(folder) && file.extension().is_some())
        .count()
}

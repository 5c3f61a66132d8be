//! What the process itself uses, read from /proc at each scrape. Elsewhere than on Linux these
//! metrics stay at 0.

use super::table::{self, Metric};

/// What the process uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Process {
    /// User and system time, in seconds.
    pub(super) cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub(super) resident: f64,
    /// Virtual memory, in bytes.
    pub(super) virtual_memory: f64,
    /// Open file descriptors.
    pub(super) open_fds: f64,
    /// Their limit.
    pub(super) max_fds: f64,
    /// Start of the process, in seconds since 1970.
    pub(super) start: f64,
}

/// Ticks of /proc/self/stat a second: USER_HZ is 100 on every architecture of Linux.
const TICKS: f64 = 100.0;

impl Process {
    /// The values with their rows of the table.
    pub(super) fn metrics(&self) -> [(&'static Metric, f64); 6] {
        [
            (&table::PROCESS_CPU, self.cpu_seconds),
            (&table::PROCESS_RESIDENT, self.resident),
            (&table::PROCESS_VIRTUAL, self.virtual_memory),
            (&table::PROCESS_OPEN_FDS, self.open_fds),
            (&table::PROCESS_MAX_FDS, self.max_fds),
            (&table::PROCESS_START, self.start),
        ]
    }

    pub(super) fn read() -> Process {
        let file =
            |name: &str| std::fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
        let (stat, status, limits, system) =
            (file("self/stat"), file("self/status"), file("self/limits"), file("stat"));
        // The program's name stands in brackets and may hold blanks; the rest counts from field 3.
        let fields: Vec<f64> = stat
            .rsplit_once(") ")
            .map(|(_, rest)| {
                rest.split(' ').map(|field| field.trim().parse().unwrap_or(0.0)).collect()
            })
            .unwrap_or_default();
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0.0);
        let line = |text: &str, start: &str, column: usize| {
            let line = text.lines().find_map(|line| line.strip_prefix(start).map(str::to_owned));
            line.and_then(|line| line.split_whitespace().nth(column)?.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        Process {
            cpu_seconds: (field(14) + field(15)) / TICKS,
            resident: line(&status, "VmRSS:", 0) * 1024.0,
            virtual_memory: line(&status, "VmSize:", 0) * 1024.0,
            open_fds: std::fs::read_dir("/proc/self/fd").map_or(0.0, |dir| dir.count() as f64),
            max_fds: line(&limits, "Max open files", 0),
            start: line(&system, "btime", 0) + field(22) / TICKS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn reads_this_process() {
        let process = Process::read();
        assert!(process.resident > 1e6 && process.virtual_memory > process.resident, "{process:?}");
        assert!(process.open_fds >= 3.0 && process.max_fds >= process.open_fds, "{process:?}");
        assert!(process.start > 1.7e9, "{process:?}");
    }
}

//! Every problem and warning, as users see it: one row each, the configuration and what is said.

mod authentication;
mod egress;
mod exports;
mod platforms;
mod sources;
mod webhooks;
mod whole;

use super::Case;

/// A configuration, edits (`--set …` or `--env NAME=value`), and what is said of it.
type Row = (&'static str, &'static [&'static str], &'static str);

#[test]
fn every_problem_has_its_place_and_its_fix() {
    for (yaml, edits, said) in [
        whole::ROWS,
        sources::ROWS,
        exports::ROWS,
        webhooks::ROWS,
        authentication::ROWS,
        egress::ROWS,
        platforms::ROWS,
    ]
    .into_iter()
    .flatten()
    {
        let mut case = Case::yaml(yaml.trim_start_matches('\n'));
        for edit in *edits {
            case = match (edit.strip_prefix("--set "), edit.strip_prefix("--env ")) {
                (Some(set), _) => case.set(set),
                (_, Some(variable)) => {
                    let (name, value) = variable.split_once('=').unwrap();
                    case.env(name, value)
                }
                _ => panic!("{edit}"),
            };
        }
        assert_eq!(case.said(), said.trim(), "of {yaml}{edits:?}");
    }
}

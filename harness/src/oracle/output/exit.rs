//! How runs ended -> [`Finding`]s: the hooked one must end as unhooked ones do, and not before they are told to.

use std::collections::BTreeSet;

use crate::executor::native::process::{End, Finished};
use crate::oracle::{Answer, Finding};

/// Compares how the runs ended, how far they came before, and how the load ended.
pub(super) fn judge(unhooked: &[Finished], hooked: &Finished) -> Vec<Finding> {
    let finding = |what: &str, answer| Finding {
        what: what.to_owned(),
        answer,
    };
    let mut findings = vec![
        finding("exit status", ends(unhooked, hooked)),
        finding("staying alive", reached(unhooked, hooked)),
    ];
    if unhooked.iter().any(|run| run.load.is_some()) {
        let loads = |run: &Finished| run.load.map_or("not run".to_owned(), |end| end.to_string());
        let known: BTreeSet<String> = unhooked.iter().map(loads).collect();
        findings.push(finding("load", among(&known, &loads(hooked))));
    }
    findings
}

fn ends(unhooked: &[Finished], hooked: &Finished) -> Answer {
    if hooked.end != End::TimedOut && unhooked.iter().all(|run| run.end == End::TimedOut) {
        return Answer::Diverge(format!(
            "hooked {} after {} ms, while the unhooked program went on until it was stopped",
            hooked.end,
            hooked.elapsed.as_millis()
        ));
    }
    let known: BTreeSet<String> = unhooked.iter().map(|run| run.end.to_string()).collect();
    let hangs = hooked.end == End::TimedOut;
    if (hangs || matches!(hooked.end, End::Signal(_))) && !known.contains(&hooked.end.to_string()) {
        return Answer::Diverge(format!("unhooked {}, hooked {}", list(&known), hooked.end));
    }
    among(&known, &hooked.end.to_string())
}

fn reached(unhooked: &[Finished], hooked: &Finished) -> Answer {
    match unhooked.iter().map(|run| run.reached).min() {
        Some(least) if hooked.reached < least => Answer::Diverge(format!(
            "hooked it ended {} ({}), unhooked {}",
            hooked.reached, hooked.end, least
        )),
        _ => Answer::Agree,
    }
}

/// One of several: if they differ among themselves another one proves nothing.
fn among(known: &BTreeSet<String>, found: &str) -> Answer {
    if known.contains(found) {
        Answer::Agree
    } else if known.len() > 1 {
        Answer::Inconclusive(format!("unhooked {}, hooked {found}", list(known)))
    } else {
        Answer::Diverge(format!("unhooked {}, hooked {found}", list(known)))
    }
}

fn list(known: &BTreeSet<String>) -> String {
    let texts: Vec<&str> = known.iter().map(String::as_str).collect();
    texts.join(" or ")
}

/// Whether the unhooked program ended with the exit status that is promised of it.
#[must_use]
pub fn promised(promised: i32, unhooked: &Finished) -> Finding {
    Finding {
        what: "promised exit status".to_owned(),
        answer: match unhooked.end {
            End::Status(status) if status == promised => Answer::Agree,
            end => Answer::Diverge(format!("unhooked {end}, promised {promised}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::native::process::Reached;

    fn run(end: End, reached: Reached) -> Finished {
        Finished {
            reached,
            ..Finished::new(1, end)
        }
    }

    fn answers(unhooked: &[Finished], hooked: &Finished) -> Vec<Answer> {
        judge(unhooked, hooked)
            .into_iter()
            .map(|f| f.answer)
            .collect()
    }

    #[test]
    fn an_exit_status_that_was_not_promised_diverges() {
        assert!(
            promised(2, &run(End::Status(2), Reached::Ready))
                .answer
                .agrees()
        );
        for end in [End::Status(66), End::Signal(2), End::TimedOut] {
            let answer = promised(2, &run(end, Reached::Ready)).answer;
            assert!(matches!(answer, Answer::Diverge(_)));
        }
    }

    #[test]
    fn a_program_that_goes_on_must_go_on_when_hooked() {
        let on = run(End::TimedOut, Reached::Ready);
        let unhooked = [on.clone(), on.clone()];
        assert!(answers(&unhooked, &on).iter().all(Answer::agrees));
        let ended = run(End::Status(0), Reached::Ready);
        assert!(matches!(&answers(&unhooked, &ended)[0], Answer::Diverge(_)));
        // And one that ends must end.
        assert!(matches!(
            &answers(&[ended.clone(), ended], &on)[0],
            Answer::Diverge(_)
        ));
    }

    #[test]
    fn a_server_that_ends_before_it_is_told_to_diverges_with_the_same_status() {
        let stopped = run(End::Status(0), Reached::Stop);
        let early = run(End::Status(0), Reached::Ready);
        let dead = run(End::Status(0), Reached::Start);
        let unhooked = [stopped.clone(), stopped.clone()];
        for hooked in [early.clone(), dead] {
            let found = answers(&unhooked, &hooked);
            assert!(found[0].agrees() && matches!(&found[1], Answer::Diverge(_)));
        }
        assert!(
            answers(&[stopped.clone(), early.clone()], &early)
                .iter()
                .all(Answer::agrees)
        );
    }

    #[test]
    fn where_unhooked_runs_end_in_several_ways_only_signals_and_hangs_diverge() {
        let of = |end| run(end, Reached::Ready);
        let unhooked = [of(End::Status(0)), of(End::Status(1))];
        assert!(answers(&unhooked, &of(End::Status(1)))[0].agrees());
        assert!(matches!(
            &answers(&unhooked, &of(End::Status(3)))[0],
            Answer::Inconclusive(_)
        ));
        assert!(matches!(
            &answers(&unhooked, &of(End::Signal(11)))[0],
            Answer::Diverge(_)
        ));
        assert!(matches!(
            &answers(&unhooked, &of(End::TimedOut))[0],
            Answer::Diverge(_)
        ));
    }
}

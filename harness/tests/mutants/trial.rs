//! A mutant, tried: which disturbance catches it, if any.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use gondwana_engine::image::Image;
use gondwana_engine::verify::{VerifiedPlan, verify};
use gondwana_harness::disturb::Expected;
use gondwana_harness::disturb::case::Disturbed;
use gondwana_harness::disturb::cell::{self, Answer, Cell, Means};
use gondwana_harness::disturb::full::Scenario;
use gondwana_harness::disturb::kind::Kind;
use gondwana_harness::disturb::session::{AtCall, Session};
use gondwana_harness::machine::Trouble;

use crate::mutant::Mutant;
use crate::table::{Catch, Fate};

/// Kinds whose effect depends on the instruction at which they come; of the others each is tried once on the way in and
/// once on the way out.
const EVERYWHERE: [Kind; 3] = [Kind::Sigurg, Kind::Sigprof, Kind::Gc];

/// Where one instruction is broken, they are tried there, and before one of so many others.
const ELSEWHERE: usize = 4;

/// One program and function.
pub(crate) struct Bench<'p> {
    scenarios: Vec<(Scenario, Session<'p>, Expected)>,
    /// Offsets of the trampoline's instructions that the call executes in some scenario.
    executed: BTreeSet<u64>,
    image: Image<'p>,
}

/// Which disturbances are tried.
#[derive(Clone, Copy)]
enum Only<'c> {
    /// Every kind once on the way in and once on the way out; those that depend on the instruction before one instruction of
    /// so many.
    Every(usize),
    /// None, and those that depend on the instruction before the one at this offset.
    At(u64),
    /// The one that is said to catch it.
    Catch(&'c Catch),
}

/// Why a walk is left early.
enum Early {
    Caught(Catch),
    Wanted,
}

impl<'p> Bench<'p> {
    /// Runs the program unhooked in each scenario.
    pub(crate) fn new(case: &Disturbed, file: &'p [u8]) -> Result<Self> {
        let mut scenarios = Vec::new();
        let mut executed = BTreeSet::new();
        for scenario in [Scenario::Roomy, Scenario::Tight, Scenario::Shared] {
            let mut session = Disturbed {
                shared_ring: scenario == Scenario::Shared,
                env: vec![scenario.environment().to_owned()],
                ..case.clone()
            }
            .session(file);
            session.at = None;
            if scenario == Scenario::Tight {
                session.make_tight()?;
            }
            let expected = session.expect()?;
            let AtCall {
                mut machine, call, ..
            } = session.hooked(|_| Ok(()))?;
            let steps = call.walk(&mut machine, |_, _| Ok(()))?;
            executed.extend(steps.iter().filter_map(|step| step.offset));
            scenarios.push((scenario, session, expected));
        }
        Ok(Self {
            scenarios,
            executed,
            image: Image::parse(file)?,
        })
    }

    /// All mutants of the plan for this program.
    pub(crate) fn mutants(&self) -> Result<Vec<Mutant>> {
        match self.scenarios.first() {
            Some((_, session, _)) => Ok(Mutant::all(&session.plan()?)),
            None => Ok(Vec::new()),
        }
    }

    /// Tries everything until something catches it.
    pub(crate) fn fate(&self, mutant: &Mutant) -> Result<Fate> {
        let site = mutant.site();
        let executed = site.is_none_or(|site| self.executed.contains(&site.offset.into()));
        // Most are caught where they are, so that is looked at first.
        let places = match site {
            Some(site) => vec![Only::At(site.offset.into()), Only::Every(ELSEWHERE)],
            None => vec![Only::Every(1)],
        };
        for only in places.into_iter().filter(|_| executed) {
            for (scenario, session, expected) in &self.scenarios {
                if let Some(catch) = run(*scenario, session, expected, mutant, only)? {
                    return Ok(Fate::Caught(catch));
                }
            }
        }
        Ok(match self.rejection(mutant)? {
            Some(what) => Fate::Rejected { executed, what },
            None => Fate::Survived,
        })
    }

    /// Tries only what is said to catch it.
    pub(crate) fn is_caught_by(&self, mutant: &Mutant, by: &Catch) -> Result<bool> {
        for (scenario, session, expected) in &self.scenarios {
            if *scenario == by.scenario
                && run(*scenario, session, expected, mutant, Only::Catch(by))?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why the verifier rejects the broken plan, if it does.
    pub(crate) fn rejection(&self, mutant: &Mutant) -> Result<Option<String>> {
        let Some((_, session, _)) = self.scenarios.first() else {
            return Ok(None);
        };
        let mut session = session.clone();
        session.wanted.sabotage = mutant.sabotage();
        let plan = mutant.apply(&VerifiedPlan::unverified(session.plan()?));
        let rejections = verify(&self.image, plan.plan().clone()).err();
        Ok(rejections.and_then(|all| all.first().map(ToString::to_string)))
    }
}

/// One scenario: undisturbed, then disturbed. What caught it.
fn run(
    scenario: Scenario,
    session: &Session<'_>,
    expected: &Expected,
    mutant: &Mutant,
    only: Only<'_>,
) -> Result<Option<Catch>> {
    let mut session = session.clone();
    session.wanted.sabotage = mutant.sabotage();
    let caught = |kind, step, what: String| Catch {
        scenario,
        kind,
        step,
        what,
    };
    let at = session.hooked(|prepared| {
        prepared.plan = mutant.apply(&prepared.plan);
        Ok(())
    });
    let AtCall {
        mut machine,
        call,
        board,
        known,
    } = match at {
        Ok(at) => at,
        // It does not come to the call.
        Err(trouble) => return Ok(Some(caught(None, 0, trouble.to_string()))),
    };
    let means = Means {
        call: &call,
        board,
        expected,
        known: &known,
        hooked: true,
        counted: None,
    };
    let mut early = None;
    let mut undecided = None;
    let mut out = false;
    let walked = call.walk(&mut machine, |machine, step| {
        let kinds: Vec<Option<Kind>> = match only {
            Only::Catch(by) if by.step == step.index => vec![by.kind],
            Only::Catch(by) if by.step < step.index => {
                early = Some(Early::Wanted);
                return Err(stop());
            }
            Only::Catch(_) => Vec::new(),
            Only::At(_) if step.index == 0 => vec![None],
            Only::At(offset) if step.offset == Some(offset) => EVERYWHERE.map(Some).into(),
            Only::At(_) => Vec::new(),
            Only::Every(every) => {
                let first_out = !out && step.is_on_the_way_out();
                out |= first_out;
                let all = step.index == 0 || first_out;
                let here = step.index % every == 0;
                let kinds = Kind::ALL.into_iter();
                let kinds = kinds
                    .filter(|kind| all || (here && EVERYWHERE.contains(kind)))
                    .map(Some);
                let undisturbed = (step.index == 0).then_some(None);
                undisturbed.into_iter().chain(kinds).collect()
            }
        };
        for kind in kinds {
            let cell: Cell = machine.branch(|m| cell::run(m, kind, means))?;
            match cell.answer {
                Answer::Agree | Answer::NoEffect(_) => {}
                Answer::Diverge(what) => {
                    early = Some(Early::Caught(caught(kind, step.index, what)));
                    return Err(stop());
                }
                Answer::Inconclusive(why) => undecided = Some(why),
            }
        }
        Ok(())
    });
    match (early, walked, undecided) {
        (Some(Early::Caught(catch)), ..) => Ok(Some(catch)),
        (Some(Early::Wanted), ..) | (None, Ok(_), None) => Ok(None),
        (None, _, Some(why)) => bail!("{mutant}: {why}"),
        (None, Err(trouble), None) => bail!("{mutant}: {trouble}"),
    }
}

/// Leaves a walk.
fn stop() -> Trouble {
    Trouble::Hooks("enough".to_owned())
}

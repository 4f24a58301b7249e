//! A mutant, tried: which disturbance catches it, if any.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use gondwana_engine::image::Image;
use gondwana_engine::verify::verify;
use gondwana_harness::disturb::Expected;
use gondwana_harness::disturb::case::Disturbed;
use gondwana_harness::disturb::cell::{self, Answer, Cell, Means};
use gondwana_harness::disturb::full::Scenario;
use gondwana_harness::disturb::kind::Kind;
use gondwana_harness::disturb::session::{AtCall, Session};
use gondwana_harness::machine::Trouble;

use crate::mutate::{self, Mutation, Site};
use crate::table::{Catch, Fate};

/// Kinds whose effect depends on the instruction at which they come; of the others each is tried once on the way in and
/// once on the way out.
const EVERYWHERE: [Kind; 3] = [Kind::Sigurg, Kind::Sigprof, Kind::Gc];

/// How the trouble begins that is none of the program's: its plan cannot be broken so.
const CANNOT: &str = "cannot be broken: ";

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
            .session(file)?;
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
    pub(crate) fn mutants(&self) -> Result<Vec<Mutation>> {
        match self.scenarios.first() {
            Some((_, session, _)) => Mutation::all(&session.plan()?),
            None => Ok(Vec::new()),
        }
    }

    /// Tries everything until something catches it.
    pub(crate) fn fate(&self, mutant: &Mutation) -> Result<Fate> {
        let site = site(mutant);
        let executed = self.is_executed(mutant);
        // Most are caught where they are, so that is looked at first.
        let places = match site {
            Some(site) => vec![Only::At(site.offset.into()), Only::Every(ELSEWHERE)],
            None => vec![Only::Every(1)],
        };
        for only in places.into_iter().filter(|_| executed) {
            for (scenario, session, expected) in &self.scenarios {
                if let Some(catch) = self.run(*scenario, session, expected, mutant, only)? {
                    return Ok(Fate::Caught(catch));
                }
            }
        }
        Ok(match self.rejection(mutant)? {
            Some(what) => Fate::Rejected { executed, what },
            None => Fate::Survived,
        })
    }

    /// Tries first what an older table says of it.
    pub(crate) fn carried(&self, mutant: &Mutation, before: &Fate) -> Result<Fate> {
        let rejected = self.rejection(mutant)?;
        match (before, rejected) {
            (Fate::Rejected { .. }, Some(what)) => {
                let executed = self.is_executed(mutant);
                return Ok(Fate::Rejected { executed, what });
            }
            (Fate::Survived, None) => return Ok(Fate::Survived),
            _ => {}
        }
        if let Fate::Caught(by) = before {
            let only = match site(mutant) {
                Some(site) => Only::At(site.offset.into()),
                None => Only::Catch(by),
            };
            for (scenario, session, expected) in &self.scenarios {
                if *scenario == by.scenario
                    && let Some(catch) = self.run(*scenario, session, expected, mutant, only)?
                {
                    return Ok(Fate::Caught(catch));
                }
            }
        }
        self.fate(mutant)
    }

    /// Whether the call executes what is broken in some scenario.
    fn is_executed(&self, mutant: &Mutation) -> bool {
        site(mutant).is_none_or(|site| self.executed.contains(&site.offset.into()))
    }

    /// Tries only what is said to catch it.
    pub(crate) fn is_caught_by(&self, mutant: &Mutation, by: &Catch) -> Result<bool> {
        for (scenario, session, expected) in &self.scenarios {
            if *scenario == by.scenario
                && self
                    .run(*scenario, session, expected, mutant, Only::Catch(by))?
                    .is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why the verifier rejects the broken plan, if it does.
    pub(crate) fn rejection(&self, mutant: &Mutation) -> Result<Option<String>> {
        let Some((_, session, _)) = self.scenarios.first() else {
            return Ok(None);
        };
        let plan = mutant.apply(self.image.facts(), &session.plan()?)?;
        let rejections = verify(&self.image, plan).err();
        Ok(rejections.and_then(|all| all.first().map(ToString::to_string)))
    }

    /// One scenario: undisturbed, then disturbed. What caught it.
    fn run(
        &self,
        scenario: Scenario,
        session: &Session<'_>,
        expected: &Expected,
        mutant: &Mutation,
        only: Only<'_>,
    ) -> Result<Option<Catch>> {
        let caught = |kind, step, what: String| Catch {
            scenario,
            kind,
            step,
            what,
        };
        let at = session.hooked(|prepared| {
            let broken = mutant.apply(self.image.facts(), prepared.plan.plan());
            broken
                .and_then(|plan| mutate::replace(prepared, plan))
                .map_err(|error| Trouble::Hooks(format!("{CANNOT}{error:#}")))
        });
        let AtCall {
            mut machine,
            call,
            board,
            known,
        } = match at {
            Ok(at) => at,
            Err(Trouble::Hooks(why)) if why.starts_with(CANNOT) => bail!("{mutant}: {why}"),
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
}

/// The instruction that a mutant is about, if it is about one.
const fn site(mutant: &Mutation) -> Option<&Site> {
    match mutant {
        Mutation::Depth(site) | Mutation::Deleted(site) | Mutation::PointerSlot(site) => Some(site),
        _ => None,
    }
}

/// Leaves a walk.
fn stop() -> Trouble {
    Trouble::Hooks("enough".to_owned())
}

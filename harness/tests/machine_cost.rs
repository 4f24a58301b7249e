//! What each path through a hook costs, counted instruction by instruction in the emulated process: a golden. The numbers
//! are exact, so a rise is a change of the hook's code.

use std::fmt::Write;

use gondwana_engine::inject::prepare::{Description, Wanted};
use gondwana_engine::plan::HookOptions;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::machine::{MEMORY, Machine, Path, Setup};
use gondwana_harness::testbins;
use gondwana_harness::toolchain::Toolchains;

/// The oldest and the newest of both calling conventions.
const VERSIONS: [&str; 4] = ["1.5", "1.16", "1.17", "1.27"];

#[test]
fn each_path_through_a_hook_costs_what_it_did() {
    let toolchains = Toolchains::open().unwrap();
    let case = testbins::case("fib").unwrap();
    let mut table = String::from("version   path            instructions  loads  stores  locks\n");
    for version in VERSIONS {
        let toolchain = toolchains.get(version).unwrap();
        let builder = Builder::open().unwrap();
        let program = builder.build(&toolchain, &case.dir, Mode::Static).unwrap();
        let file = std::fs::read(program).unwrap();
        for path in Path::ALL {
            let mut machine = Machine::start(&file, Setup::new("fib")).unwrap();
            let wanted = Wanted::new(["main.fib"], HookOptions::default(), MEMORY).unwrap();
            machine.hook(&wanted, &mut Description::default()).unwrap();
            let cost = machine.cost(path).unwrap();
            let name = serde_json::to_value(path).unwrap();
            writeln!(
                table,
                "{version:<8}  {:<14}  {:>12}  {:>5}  {:>6}  {:>5}",
                name.as_str().unwrap(),
                cost.instructions,
                cost.loads,
                cost.stores,
                cost.locks
            )
            .unwrap();
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../goldens/costs");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("hook_cost", table));
}

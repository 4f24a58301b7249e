//! Installing toolchains, with a module proxy of files and a toolchain that is a shell script: nothing is downloaded.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A version that no proxy has.
const VERSION: &str = "1.25.9876";

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// A machine whose proxy has one toolchain, which says that its version is `answer`.
    fn new(answer: &str) -> Self {
        let machine = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let module = format!("v0.0.1-go{VERSION}.linux-amd64");
        let proxy = machine.path("proxy/golang.org/toolchain/@v");
        fs::create_dir_all(&proxy).unwrap();
        fs::write(proxy.join("list"), format!("{module}\n")).unwrap();
        fs::write(
            proxy.join(format!("{module}.info")),
            format!("{{\"Version\":\"{module}\"}}"),
        )
        .unwrap();
        fs::write(
            proxy.join(format!("{module}.mod")),
            "module golang.org/toolchain\n",
        )
        .unwrap();
        let mut zip =
            zip::ZipWriter::new(fs::File::create(proxy.join(format!("{module}.zip"))).unwrap());
        let script = format!("#!/bin/sh\necho go version go{answer} linux/amd64\n");
        let files = [
            ("go.mod", "module golang.org/toolchain\n"),
            ("VERSION", VERSION),
            ("bin/go", script.as_str()),
            ("pkg/tool/linux_amd64/compile", "#!/bin/sh\n"),
            ("src/runtime/proc.go", "package runtime\n"),
        ];
        for (name, text) in files {
            zip.start_file(
                format!("golang.org/toolchain@{module}/{name}"),
                zip::write::SimpleFileOptions::default(),
            )
            .unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn goroot(&self) -> PathBuf {
        self.path(&format!("cache/gondwana/toolchains/go{VERSION}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gondwana-harness"));
        command.arg("toolchain").args(arguments);
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command.env(
            "GOPROXY",
            format!("file://{}", self.path("proxy").display()),
        );
        // Only a proxy of files may go without the checksum database for toolchains (cmd/go/internal/modfetch).
        command
            .env("GOSUMDB", "off")
            .env("GOFLAGS", "-mod=mod -nonsense");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        ended(self.command(arguments).output().unwrap())
    }

    /// What lies in the folder of toolchains, locks left out.
    fn lies_there(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("cache/gondwana/toolchains"))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|name| !name.ends_with(".lock"))
            .collect()
    }
}

fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).unwrap().permissions().mode() & 0o111 == 0o111
}

#[test]
fn a_toolchain_is_installed_found_and_removed() {
    let machine = Machine::new(VERSION);
    let (status, _, errors) = machine.run(&["path", VERSION]);
    assert_eq!(status, 2);
    assert!(
        errors.contains("is not installed") && errors.lines().count() == 1,
        "{errors}"
    );
    let (status, _, errors) = machine.run(&["install", VERSION]);
    assert_eq!(status, 0, "{errors}");
    assert_eq!(machine.lies_there(), [format!("go{VERSION}")]);
    assert!(is_executable(&machine.goroot().join("bin/go")));
    assert!(is_executable(
        &machine.goroot().join("pkg/tool/linux_amd64/compile")
    ));
    assert!(!is_executable(&machine.goroot().join("VERSION")));
    let (status, root, _) = machine.run(&["path", VERSION]);
    assert_eq!(
        (status, root.trim()),
        (0, machine.goroot().to_str().unwrap())
    );
    let (_, list, _) = machine.run(&["list"]);
    assert!(
        list.lines()
            .any(|line| line.starts_with(&format!("go{VERSION}")) && line.ends_with(root.trim())),
        "{list}"
    );
    assert!(
        list.lines()
            .any(|line| line.starts_with("go1.5.4 ") && line.ends_with("not installed")),
        "{list}"
    );
    // Once more: nothing to do, without a proxy.
    let again = machine
        .command(&["install", VERSION])
        .env("GOPROXY", "off")
        .output()
        .unwrap();
    assert!(again.status.success());
    let (status, _, _) = machine.run(&["prune"]);
    assert_eq!((status, machine.lies_there().len()), (0, 0));
}

#[test]
fn two_installations_at_once_download_once() {
    let machine = Machine::new(VERSION);
    let started: Vec<Child> = (0..4)
        .map(|_| machine.command(&["install", VERSION]).spawn().unwrap())
        .collect();
    let ended: Vec<_> = started
        .into_iter()
        .map(|child| ended(child.wait_with_output().unwrap()))
        .collect();
    assert!(ended.iter().all(|(status, _, _)| *status == 0), "{ended:?}");
    let downloads = ended
        .iter()
        .filter(|(_, _, errors)| errors.contains("downloading"))
        .count();
    assert_eq!(downloads, 1, "{ended:?}");
    assert_eq!(machine.lies_there(), [format!("go{VERSION}")]);
}

#[test]
fn what_an_interrupted_installation_left_is_neither_used_nor_kept() {
    let machine = Machine::new(VERSION);
    let left = machine.path(&format!(
        "cache/gondwana/toolchains/.installing-go{VERSION}"
    ));
    fs::create_dir_all(left.join("mod/read-only")).unwrap();
    fs::write(left.join("mod/read-only/half"), "half a file").unwrap();
    fs::set_permissions(
        left.join("mod/read-only"),
        fs::Permissions::from_mode(0o555),
    )
    .unwrap();
    let (status, _, _) = machine.run(&["path", VERSION]);
    assert_eq!(status, 2);
    let (status, _, errors) = machine.run(&["install", VERSION]);
    assert_eq!(status, 0, "{errors}");
    assert_eq!(machine.lies_there(), [format!("go{VERSION}")]);
    // Left by one that nobody will repeat: prune removes it.
    fs::create_dir_all(machine.path("cache/gondwana/toolchains/.installing-go1.99.1/mod")).unwrap();
    machine.run(&["prune"]);
    assert!(machine.lies_there().is_empty());
}

#[test]
fn a_toolchain_that_says_it_is_another_is_not_installed() {
    let machine = Machine::new("1.25.1");
    let (status, _, errors) = machine.run(&["install", VERSION]);
    assert_eq!(status, 2);
    assert!(errors.contains("does not answer `go version`"), "{errors}");
    assert!(machine.lies_there().is_empty());
}

#[test]
fn offline_the_error_says_so_in_one_line() {
    let machine = Machine::new(VERSION);
    let (status, _, errors) = ended(
        machine
            .command(&["install", "1.21.13"])
            .env("GOPROXY", "off")
            .output()
            .unwrap(),
    );
    assert_eq!(status, 2);
    let last: Vec<&str> = errors
        .lines()
        .filter(|line| line.starts_with("gondwana-harness: "))
        .collect();
    assert!(
        last.len() == 1
            && last[0].contains("offline")
            && errors.ends_with(&format!("{}\n", last[0])),
        "{errors}"
    );
    let (status, _, errors) = machine.run(&["install", "1.25.77"]);
    assert_eq!(status, 2);
    assert!(
        errors.contains("there is no Go release go1.25.77"),
        "{errors}"
    );
    assert!(machine.lies_there().is_empty());
}

#[test]
fn bad_versions_are_found_before_anything_is_downloaded() {
    let machine = Machine::new(VERSION);
    let (status, _, errors) = machine.run(&["install", VERSION, "1.x"]);
    assert_eq!(status, 2);
    assert!(
        errors.contains("`1.x` is not a Go version") && errors.lines().count() == 1,
        "{errors}"
    );
    assert!(machine.lies_there().is_empty());
}

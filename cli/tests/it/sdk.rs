//! The packages in sdk/, built as they are published, ask a real node, and check its receipt once it is gone.

use crate::common::{examples, parse, text, wait_for, Node};
use harness::Engine;
use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// Folder that scripts/setup-dapp.sh has filled.
fn tools() -> PathBuf {
    let home =
        || PathBuf::from(env::var_os("HOME").expect("there is a home")).join(".cache/proof-of-quality");
    let tools = env::var_os("POQ_CACHE").map_or_else(home, PathBuf::from).join("dapp");
    assert!(tools.join("recipe").is_file(), "{} is not complete; run scripts/setup-dapp.sh", tools.display());
    tools
}

/// A package with its tests, in a folder of its own.
struct Package {
    folder: TempDir,
    program: PathBuf,
}

impl Package {
    /// Runs the package's program, which must succeed, and returns what it prints.
    fn run<Value: AsRef<OsStr>>(&self, args: &[&str], variables: &[(&str, Value)]) -> String {
        let mut command = Command::new(&self.program);
        command.current_dir(self.folder.path()).args(args).stdin(Stdio::null()).env_remove("NODE_OPTIONS");
        // Nodes and engines are on this machine, whatever proxy is set.
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        for (name, value) in variables {
            command.env(name, value);
        }
        let output = command.output().expect("the program runs");
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{} {args:?}: {said}", self.program.display());
        text(&output.stdout)
    }

    /// Runs the first lines of code in a README against this node.
    fn run_readme(&self, readme: &str, fence: &str, file: &str, url: &str) {
        let readme =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(readme)).unwrap();
        let (_, code) = readme.split_once(fence).expect("it begins with code");
        let (code, _) = code.split_once("```").expect("the code ends");
        assert!(code.contains("ws://127.0.0.1:9944"), "{code}");
        fs::write(self.folder.path().join(file), code.replace("ws://127.0.0.1:9944", url)).unwrap();
        let printed = self.run(&[file], &[("PYTHONPATH", "site")]);
        assert!(printed.contains("The capital of Peru is Lima."), "{printed}");
    }

    /// The tests of sdk/typescript, beside the package as `npm pack` made it.
    fn typescript() -> Self {
        let package = Self { folder: tempfile::tempdir().unwrap(), program: tools().join("bin/node") };
        examples::copy_files("sdk/typescript/tests", package.folder.path());
        for file in ["tsconfig.json", "package.json"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/dapp").join(file);
            fs::copy(from, package.folder.path().join(file)).unwrap();
        }
        symlink(tools().join("node_modules"), package.folder.path().join("node_modules")).unwrap();
        package.run::<&str>(&["node_modules/typescript/bin/tsc"], &[]);
        package
    }

    /// The tests of sdk/python, beside the wheel that `python -m build` makes of the source distribution that it makes first.
    fn python() -> Self {
        let package =
            Self { folder: tempfile::tempdir().unwrap(), program: tools().join("python/bin/python") };
        let folder = package.folder.path();
        let source = folder.join("sdk/python");
        for part in ["", "src/proof_of_quality", "tests"] {
            fs::create_dir_all(source.join(part)).unwrap();
            examples::copy_files(&format!("sdk/python/{part}"), &source.join(part));
        }
        let licence = Path::new(env!("CARGO_MANIFEST_DIR")).join("../LICENSE");
        fs::copy(licence, folder.join("LICENSE")).unwrap();
        let build = ["-m", "build", "--no-isolation", "--outdir", "built", "sdk/python"];
        package.run(&build, &[("POQ_VERIFIER", tools().join("verifier.wasm"))]);

        let built: Vec<_> =
            fs::read_dir(folder.join("built")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let wheel =
            built.iter().find(|file| file.extension().is_some_and(|it| it == "whl")).expect("a wheel");
        assert_eq!(built.len(), 2, "a wheel and a source distribution: {built:?}");
        package.run::<&str>(&["-m", "zipfile", "-e", wheel.to_str().unwrap(), "site"], &[]);
        fs::rename(source.join("tests"), folder.join("tests")).unwrap();
        fs::remove_dir_all(source).unwrap();
        package
    }

    /// Runs a file of tests. `RESULT` is a file that it may write.
    fn test(&self, name: &str, variables: &[(&str, &str)]) {
        let result = self.folder.path().join("result.json");
        let mut all = vec![("RESULT", result.to_str().unwrap()), ("PYTHONPATH", "site")];
        all.extend(variables);
        if self.program.ends_with("node") {
            self.run(&["--test", &format!("{name}.test.ts")], &all);
        } else {
            self.run(&["-m", "unittest", "--verbose", &format!("tests.test_{name}")], &all);
        }
    }
}

#[tokio::test]
async fn the_packages_ask_a_node_and_verify_without_one() {
    let packages = [Package::typescript(), Package::python()];
    let node = Node::start();
    let url = node.url();
    for package in &packages {
        package.test("conversation", &[]);
        package.test("chain", &[("POQ_URL", &url)]);
        let asked = parse(&fs::read(package.folder.path().join("result.json")).unwrap());
        let request = node.request(asked["request"].as_u64().unwrap()).unwrap();
        assert_eq!(request["messages"][0]["content"], "Answer in one sentence.");
        for same in ["answer", "quality"] {
            assert_eq!(request[same], asked[same], "{same}");
        }
        let best = request["best"].as_u64().unwrap();
        assert_eq!(request["responses"][best as usize]["operator"], asked["by"]);
    }
    packages[0].run_readme("sdk/typescript/README.md", "```ts\n", "readme.ts", &url);
    packages[1].run_readme("sdk/python/README.md", "```python\n", "readme.py", &url);
    node.assert_invariants();

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let receipt = wait_for("the end of the request to be final", || {
        let made = node.poq(&["receipt", "0"]);
        (made.status.code() == Some(0)).then_some(made.stdout)
    });
    fs::write(path("receipt.json"), &receipt).unwrap();
    let anchor = format!("0x{}", hex::encode(node.client().await.genesis()));
    let proven = node.json(&["verify", &path("receipt.json"), "--anchor", &anchor]);
    fs::write(path("proven.json"), proven.to_string()).unwrap();
    let answer = node.request(0).unwrap()["answer"].as_str().unwrap().to_owned();
    drop(node);
    for package in &packages {
        let variables = [
            ("RECEIPT", path("receipt.json")),
            ("PROVEN", path("proven.json")),
            ("ANCHOR", anchor.clone()),
            ("ANSWER", answer.clone()),
        ];
        package.test("receipt", &variables.each_ref().map(|(name, value)| (*name, value.as_str())));
    }
}

#[test]
fn a_server_of_openais_form_is_asked() {
    let engine = Engine::start("the-token-of-this-test-only").unwrap();
    let url = format!("{}/v1", engine.url());
    Package::python().test("gateway", &[("URL", &url), ("TOKEN", "the-token-of-this-test-only")]);
}

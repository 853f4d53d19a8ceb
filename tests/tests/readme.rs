//! The README does as it says: its program runs in a crate of a newcomer's own, its commands are
//! there, and the links of all pages lead somewhere.

#![allow(clippy::unwrap_used, reason = "a helper of a test panics as the test does")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use support::{build_folder, cargo, shop, workspace};

fn read(page: &str) -> String {
    fs::read_to_string(workspace().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

#[test]
fn every_error_has_its_line_in_the_table_of_errors() {
    let source = read("crates/headwater-core/src/error.rs");
    let (_, codes) = source.split_once("pub fn code(").unwrap();
    let (codes, _) = codes.split_once("\n    }\n").unwrap();
    let codes: Vec<_> = codes.split('"').skip(1).step_by(2).collect();
    let page = read("docs/errors.md");
    let lines = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let told: Vec<_> = lines.collect();
    assert!(codes.len() > 20, "{codes:?}");
    for code in &codes {
        assert!(told.contains(code), "docs/errors.md says nothing of {code}");
    }
}

/// The blocks of code on a page that are marked with this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = None;
    for line in page.lines() {
        match (inside, line.strip_prefix("```")) {
            (None, Some(mark)) => {
                inside = Some(mark == language);
                if mark == language {
                    blocks.push(String::new());
                }
            }
            (Some(_), Some(_)) => inside = None,
            (Some(true), None) => *blocks.last_mut().unwrap() += &format!("{line}\n"),
            _ => {}
        }
    }
    assert_eq!(inside, None, "a block of code has no end");
    blocks
}

/// The one block of code on a page that is marked with this language.
fn block(page: &str, language: &str) -> String {
    let mut found = blocks(&read(page), language);
    assert_eq!(found.len(), 1, "{page} has one block of {language}");
    found.remove(0)
}

fn run(mut command: Command) -> Output {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {stderr}");
    output
}

#[test]
fn the_cart_runs_in_a_crate_of_ones_own_and_prints_what_the_quickstart_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut new = cargo();
    new.args(["new", "--quiet", "--vcs", "none", "my-shop"]).current_dir(folder.path());
    run(new);
    let place = folder.path().join("my-shop");
    let manifest = fs::read_to_string(place.join("Cargo.toml")).unwrap();
    assert!(manifest.trim_end().ends_with("[dependencies]"), "{manifest}");
    let here = format!("{}/crates/headwater", workspace().display());
    let dependencies = block("README.md", "toml");
    assert_eq!(dependencies.matches("../headwater/crates/headwater").count(), 1);
    let dependencies = dependencies.replace("../headwater/crates/headwater", &here);
    let manifest = manifest.replace("[dependencies]", &dependencies);
    fs::write(place.join("Cargo.toml"), manifest).unwrap();
    fs::write(place.join("src/main.rs"), block("README.md", "rust")).unwrap();
    // The same versions as here, so that nothing has to be fetched.
    fs::copy(workspace().join("Cargo.lock"), place.join("Cargo.lock")).unwrap();
    let mut program = cargo();
    program.args(["run", "--quiet", "--offline"]).current_dir(&place);
    // Kept from one run to the next, and apart from the workspace, whose features are others.
    program.env("CARGO_TARGET_DIR", build_folder().parent().unwrap().join("readme"));
    program.env("CARGO_PROFILE_DEV_DEBUG", "0");
    let printed = run(program);
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed, block("docs/quickstart.md", "text"));
}

#[test]
fn a_cart_takes_sixty_lines_and_a_projection_twenty() {
    let program = block("README.md", "rust");
    let (cart, projection) = program.split_once("#[derive(ReadModel)]").unwrap();
    let cart = cart.trim_end().lines().count();
    assert!(cart <= 60, "the cart takes {cart} lines");
    let projection = 1 + projection.trim().lines().count();
    assert!(projection <= 20, "the projection takes {projection} lines");
    for line in program.lines() {
        assert!(line.chars().count() <= 100, "a line is too long: {line}");
    }
}

#[test]
fn the_commands_of_the_readme_are_there() {
    let commands = blocks(&read("README.md"), "sh").concat();
    assert_eq!(commands.lines().collect::<Vec<_>>(), ["cargo run -p shop -- demo", "scripts/test"]);
    let mut demo = Command::new(shop());
    demo.args(["demo", "--help"]);
    let help = String::from_utf8(run(demo).stdout).unwrap();
    assert!(help.contains("shop demo"), "{help}");
    is_executable(&workspace().join("scripts/test"));
}

fn is_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "{} can be executed", path.display());
}

/// The pages that are read as they lie in the repository.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "examples/shop/README.md",
    ]
    .map(str::to_owned)
    .to_vec();
    for entry in fs::read_dir(workspace().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            pages.push(format!("docs/{name}"));
        }
    }
    assert!(pages.len() > 8, "{pages:?}");
    pages
}

/// The text of a page without its blocks of code.
fn prose(page: &str) -> String {
    read(page).split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// What GitHub makes of a heading, to link to it.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_in_it() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = prose(&page);
        for link in text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => workspace().join(&page),
                file => workspace().join(&page).parent().unwrap().join(file),
            };
            let found = target.exists()
                && (heading.is_empty()
                    || fs::read_to_string(&target)
                        .unwrap()
                        .lines()
                        .any(|line| line.starts_with('#') && anchor(line) == heading));
            if !found {
                broken.push(format!("{page} links to {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_path_that_a_page_names_is_there() {
    let mut missing = Vec::new();
    for page in pages() {
        let text = prose(&page);
        let around = workspace().join(&page).parent().map(Path::to_owned).unwrap();
        for span in text.split('`').skip(1).step_by(2).filter(|span| names_path(span)) {
            let here: [PathBuf; 2] = [workspace().join(span), around.join(span)];
            if !here.iter().any(|path| path.exists()) {
                missing.push(format!("{page} names {span}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Whether a piece of code is a path from the root of the repository.
fn names_path(span: &str) -> bool {
    let roots = ["crates/", "docs/", "examples/", "migrations/", "scripts/", "tests/", ".ci/"];
    roots.iter().any(|root| span.starts_with(root))
        && span.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
}

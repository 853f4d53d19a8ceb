use crate::support::Place;

fn leaves_and_branches(command: &clap::Command, path: &str, each: &mut impl FnMut(&str, &str)) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    each(path, &help);
    for subcommand in command.get_subcommands() {
        leaves_and_branches(subcommand, &format!("{path} {}", subcommand.get_name()), each);
    }
}

#[test]
fn every_command_has_examples_that_call_it() {
    let mut seen = 0;
    leaves_and_branches(&headwater_cli::command(), "headwater", &mut |path, help| {
        seen += 1;
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{path}"));
        assert!(examples.lines().any(|line| line.contains(path)), "{path}:\n{examples}");
    });
    assert!(seen > 10, "{seen}");
}

#[test]
fn every_example_is_a_command_that_would_be_taken() {
    leaves_and_branches(&headwater_cli::command(), "headwater", &mut |path, help| {
        let lines = help.lines().filter_map(|line| line.strip_prefix("  headwater "));
        for line in lines {
            let line = line.split([';', '|', '<']).next().unwrap();
            let words = words(line);
            let parsed = headwater_cli::command().no_binary_name(true).try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{path}: {words:?}: {}", parsed.unwrap_err());
        }
    });
}

/// Splits as a shell does, as far as our examples need it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for c in line.trim().chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[test]
fn help_goes_to_standard_output_and_lists_the_exit_codes() {
    let place = Place::empty();
    let help = place.ok(&["--help"]);
    for word in ["migrate", "projections", "Exit codes:", "DATABASE_URL", "Examples:"] {
        assert!(help.contains(word), "{word}:\n{help}");
    }
    assert!(place.ok(&["--version"]).starts_with("headwater "));
}

#[test]
fn a_service_shows_its_own_name_and_commands() {
    let help = Place::empty().into_service().ok(&["--help"]);
    assert!(help.starts_with("A service that counts carts\n"), "{help}");
    assert!(help.contains("currencies") && help.contains("projections"), "{help}");
    let help = Place::empty().into_service().ok(&["events", "--help"]);
    assert!(help.contains("\n  service events --follow"), "{help}");
    assert!(!help.contains("headwater events"), "{help}");
}

#[test]
fn the_documentation_names_every_command_and_exit_code() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    leaves_and_branches(&headwater_cli::command(), "headwater", &mut |path, _| {
        let command = path.strip_prefix("headwater ").unwrap_or(path);
        assert!(docs.contains(command), "{command} is not in docs/cli.md");
    });
    for code in [0, 1, 2, 3, 4, 5, 130] {
        assert!(docs.contains(&format!("| {code} |")), "exit code {code} is not in docs/cli.md");
    }
}

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{Place, ends_within, lines, signal};

/// Starts it, and yields what it says of itself.
fn serve(place: &Place, arguments: &[&str]) -> (Child, Value) {
    let arguments = [&["serve", "--port", "0", "--json"], arguments].concat();
    let mut child = place.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    (child, lines(&said).remove(0))
}

/// Asks for the log, and yields the answer's first line.
fn asked(url: &str, token: Option<&str>) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let bearer = bearer.unwrap_or_default();
    write!(stream, "GET /all HTTP/1.1\r\nhost: {address}\r\n{bearer}connection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[test]
fn a_log_is_served_until_it_is_asked_to_end() {
    let place = Place::new();
    let (child, said) = serve(&place, &[]);
    assert_eq!(said["token"], Value::Null);
    assert!(asked(said["url"].as_str().unwrap(), None).ends_with("200 OK"));
    signal(&child, "TERM");
    assert_eq!(ends_within(child, Duration::from_secs(5)).exit, 0);
}

#[test]
fn a_token_is_made_at_the_first_start_and_shown_once() {
    let place = Place::new();
    let (mut first, said) = serve(&place, &["--tokens", "tokens"]);
    let token = said["token"].as_str().unwrap().to_owned();
    first.kill().unwrap();
    first.wait().unwrap();
    let (mut next, said) = serve(&place, &["--tokens", "tokens"]);
    let url = said["url"].as_str().unwrap();
    assert_eq!(said["token"], Value::Null);
    assert!(asked(url, Some(&token)).ends_with("200 OK"));
    for wrong in [None, Some("another")] {
        assert!(asked(url, wrong).ends_with("401 Unauthorized"), "{wrong:?}");
    }
    next.kill().unwrap();
    next.wait().unwrap();
}

#[test]
fn what_would_let_everybody_in_is_refused() {
    let place = Place::new();
    for host in ["0.0.0.0", "::"] {
        let refused = place.run(&["serve", "--host", host, "--port", "0", "--json"]);
        assert_eq!((refused.exit, &refused.error()["code"]), (2, &"invalid-input".into()));
        assert!(refused.error()["hint"].as_str().unwrap().contains("--tokens"));
    }
    std::fs::write(place.folder().join("tokens"), "everybody\n").unwrap();
    let refused = place.run(&["serve", "--port", "0", "--tokens", "tokens", "--json"]);
    assert_eq!(refused.exit, 2, "{refused:?}");
    for origin in ["*", "shop.example", "https://shop.example/"] {
        let refused = place.run(&["serve", "--port", "0", "--origin", origin, "--json"]);
        assert_eq!(refused.exit, 2, "{origin}: {refused:?}");
    }
    let (mut child, said) = serve(&place, &[]);
    let port = said["url"].as_str().unwrap().rsplit(':').next().unwrap();
    let taken = place.run(&["serve", "--port", port, "--json"]);
    assert_eq!((taken.exit, &taken.error()["code"]), (2, &"port-taken".into()));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_server_that_has_run_out_of_files_goes_on_when_there_are_some_again() {
    let place = Place::new();
    let served = place.command(&["serve", "--port", "0", "--json"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 48 && exec \"$0\" \"$@\""]).arg(served.get_program());
    shell.args(served.get_args()).current_dir(served.get_current_dir().unwrap());
    for (name, value) in served.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let mut child = shell.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let url = lines(&said).remove(0)["url"].as_str().unwrap().to_owned();
    let address = url.strip_prefix("http://").unwrap();
    let idle: Vec<_> = (0..80).map(|_| TcpStream::connect(address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(300));
    drop(idle);
    assert!(asked(&url, None).ends_with("200 OK"));
    child.kill().unwrap();
    child.wait().unwrap();
}

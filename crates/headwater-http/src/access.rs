//! Who may do what: bearer tokens for reading, appending and operating.
//!
//! A service keeps no token, only the SHA-256 of each. They are random, and long enough that nothing slower is
//! needed to keep them from being guessed.

use std::{fmt::Write as _, fs, io, path::Path, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};

use crate::problem::{FORBIDDEN, Problem, UNAUTHORIZED};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reading the log, following it, keeping a consumer's place.
    Read,
    /// Appending.
    Append,
    /// Looking after projections and consumers.
    Operate,
}

impl Role {
    const ALL: [Self; 3] = [Self::Read, Self::Append, Self::Operate];

    /// The word for it in the file of tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Append => "append",
            Self::Operate => "operate",
        }
    }
}

/// Who may do what.
#[derive(Clone, Debug)]
pub struct Access {
    rule: Rule,
    /// What those may do who need no token.
    allowed: Arc<[Role]>,
}

#[derive(Clone, Debug)]
enum Rule {
    Everybody,
    ThisMachine,
    Tokens(Arc<[Token]>),
}

/// What is known of a token.
#[derive(Clone, Debug)]
struct Token {
    sha256: [u8; 32],
    roles: Vec<Role>,
}

impl Access {
    /// Whoever can reach the service may do everything: for one that has a guard of its own in front. The pages of other
    /// sites change nothing, unless [`Api::origin`](crate::Api::origin) names them.
    pub fn everybody() -> Self {
        Self::by(Rule::Everybody)
    }

    /// Whoever is on this machine may do everything: for a service that listens there alone. A request for another
    /// host's name is refused, as a page in a browser would send it that has had its own name led here.
    pub fn this_machine() -> Self {
        Self::by(Rule::ThisMachine)
    }

    fn by(rule: Rule) -> Self {
        Self { rule, allowed: Role::ALL.into() }
    }

    /// The same, where those who need no token may do this alone: for a service whose aggregates decide what may be
    /// appended, say. What a token is for stays as it is.
    #[must_use]
    pub fn only(self, roles: &[Role]) -> Self {
        Self { allowed: roles.into(), ..self }
    }

    /// Routes of the service's own, for those who may do this. A refusal is a [`Problem`] for
    /// [`render`](crate::problem::render).
    pub fn guard<S: Clone + Send + Sync + 'static>(
        &self,
        role: Role,
        routes: Router<S>,
    ) -> Router<S> {
        let (needs, nobody) = ((self.clone(), role), (self.clone(), Arc::from([])));
        let routes = routes.route_layer(middleware::from_fn_with_state(needs, guard));
        routes.route_layer(middleware::from_fn_with_state(nobody, without_token))
    }

    /// Whether a token is needed.
    pub fn needs_tokens(&self) -> bool {
        matches!(self.rule, Rule::Tokens(_))
    }

    /// Whether everybody who gets here may do this, without a token.
    pub fn lets_all(&self, role: Role) -> bool {
        !self.needs_tokens() && self.allowed.contains(&role)
    }

    /// Those who have a token of this file. Each line is `ROLES SHA256`, such as `read,append 9f86d08...`, where the
    /// second is that of the token in hexadecimal digits; what follows on a line, and lines that begin with
    /// `#`, are for people.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or a line is of another form; no message shows what stands in it.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let lines = text.lines().enumerate().filter(|(_, line)| !is_comment(line));
        let tokens = lines.map(|(index, line)| {
            let wrong = || {
                let sentence = format!(
                    "line {} should be: ROLES SHA256, such as read,append 9f86...",
                    index + 1
                );
                io::Error::new(io::ErrorKind::InvalidData, sentence)
            };
            Token::parse(line).ok_or_else(wrong)
        });
        Ok(Self::by(Rule::Tokens(tokens.collect::<io::Result<_>>()?)))
    }

    /// The same, where the file is there; otherwise makes it, for its owner alone, with one token that may do
    /// everything, and yields that token, which stands nowhere else.
    ///
    /// # Errors
    ///
    /// As for [`Access::from_file`], and where the file cannot be made.
    pub fn from_file_or_new(path: &Path) -> io::Result<(Self, Option<String>)> {
        let token = new_token();
        let line =
            format!("read,append,operate {} made at the first start\n", hex(&sha256(&token)));
        match write_new(path, &line) {
            Ok(()) => Ok((Self::from_file(path)?, Some(token))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok((Self::from_file(path)?, None))
            }
            Err(error) => Err(error),
        }
    }

    /// Those who have this token, for these roles: for a service that keeps its tokens elsewhere.
    pub fn token(self, token: &str, roles: &[Role]) -> Self {
        let known = match self.rule {
            Rule::Everybody | Rule::ThisMachine => Vec::new(),
            Rule::Tokens(tokens) => tokens.to_vec(),
        };
        let token = Token { sha256: sha256(token), roles: roles.to_vec() };
        Self::by(Rule::Tokens(known.into_iter().chain([token]).collect()))
    }

    fn check(&self, role: Role, headers: &HeaderMap) -> Result<(), Problem> {
        let Rule::Tokens(tokens) = &self.rule else {
            let refused = || Problem::new(FORBIDDEN, format!("nobody may {} here", role.as_str()));
            return self.allowed.contains(&role).then_some(()).ok_or_else(refused);
        };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let given = given.ok_or_else(|| {
            Problem::new(UNAUTHORIZED, "there is no header Authorization: Bearer TOKEN")
        })?;
        let sha256 = sha256(given);
        let known = tokens.iter().find(|token| token.sha256 == sha256);
        let known = known.ok_or_else(|| Problem::new(UNAUTHORIZED, "the token is not known"))?;
        if known.roles.contains(&role) {
            return Ok(());
        }
        Err(Problem::new(FORBIDDEN, format!("the token is not for `{}`", role.as_str())))
    }
}

impl Token {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let role = |word: &str| Role::ALL.into_iter().find(|role| role.as_str() == word);
        let roles = words.next()?.split(',').map(role).collect::<Option<_>>()?;
        let digits = words.next()?;
        let mut sha256 = [0; 32];
        if digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        for (index, byte) in sha256.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self { sha256, roles })
    }
}

/// Lets a request pass where no token is needed: one that was sent to this machine by one of its own names, where this
/// machine alone is served, and none by which a page of another site would change something.
pub(crate) async fn without_token(
    State((access, origins)): State<(Access, Arc<[HeaderValue]>)>,
    request: Request,
    next: Next,
) -> Response {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(|authority| authority.as_str()).or(named);
    let foreign = !request.method().is_safe() && comes_from_elsewhere(&request, host, &origins);
    let refused = match access.rule {
        Rule::ThisMachine if !host.is_none_or(is_loopback) => {
            "without tokens it serves this machine alone, as localhost"
        }
        Rule::ThisMachine | Rule::Everybody if foreign => {
            "without tokens the pages of other sites change nothing here"
        }
        _ => return next.run(request).await,
    };
    Problem::new(FORBIDDEN, refused).into_response()
}

/// Whether a browser sends it for a page of another site, which it does unasked where a request is plain enough. It says
/// so itself in `Sec-Fetch-Site`; an older one names the page's origin, which is then to be the host.
fn comes_from_elsewhere(request: &Request, host: Option<&str>, origins: &[HeaderValue]) -> bool {
    let origin = request.headers().get(header::ORIGIN);
    if origin.is_some_and(|origin| origins.contains(origin)) {
        return false;
    }
    if let Some(site) = request.headers().get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    origin.is_some_and(|origin| {
        let parts = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        parts.is_none_or(|(_, page)| Some(page) != host)
    })
}

/// Whether a Host is a name of this machine's own, with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Lets a request pass that has a token for the role.
pub(crate) async fn guard(
    State((access, role)): State<(Access, Role)>,
    request: Request,
    next: Next,
) -> Response {
    match access.check(role, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn is_comment(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

fn sha256(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn new_token() -> String {
    hex(&rand::random::<[u8; 32]>())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    io::Write::write_all(&mut options.open(path)?, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(token: &str) -> HeaderMap {
        let value = format!("Bearer {token}").parse().expect("it is a header");
        HeaderMap::from_iter([(header::AUTHORIZATION, value)])
    }

    #[test]
    fn a_token_made_at_the_first_start_is_known_at_the_next_and_stands_in_no_file() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("tokens");
        let (first, token) = Access::from_file_or_new(&path).expect("it is made");
        let token = token.expect("it is told once");
        let (next, told) = Access::from_file_or_new(&path).expect("it is read");
        assert_eq!(told, None);
        assert!(!fs::read_to_string(&path).expect("it is there").contains(&token));
        for access in [first, next] {
            for role in Role::ALL {
                assert!(access.check(role, &with(&token)).is_ok());
                let unknown = access.check(role, &with("another")).expect_err("it is unknown");
                assert_eq!(unknown.kind(), UNAUTHORIZED);
                assert!(access.check(role, &HeaderMap::new()).is_err());
            }
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn this_machine_is_known_by_its_own_names_alone() {
        for own in
            ["localhost", "LOCALHOST:3000", "127.0.0.1:80", "[::1]:8080", "[::1]", "127.9.9.9"]
        {
            assert!(is_loopback(own), "{own}");
        }
        for other in ["shop.example", "localhost.evil.example:80", "10.0.0.1", "[::2]:80", ""] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn a_token_is_for_its_roles_alone() {
        let access = Access::everybody().token("r", &[Role::Read]).token("a", &[Role::Append]);
        assert!(access.check(Role::Read, &with("r")).is_ok());
        assert!(access.check(Role::Append, &with("a")).is_ok());
        for (token, role) in [("r", Role::Append), ("a", Role::Read), ("r", Role::Operate)] {
            let refused = access.check(role, &with(token)).expect_err("it is another's");
            assert_eq!(refused.kind(), FORBIDDEN);
        }
    }

    #[test]
    fn a_file_of_another_form_is_refused_by_its_line() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("tokens");
        let digits = hex(&sha256("t"));
        for wrong in
            ["read", "write 00", &format!("read,rite {digits}"), &format!("read {digits}0")]
        {
            fs::write(&path, format!("# tokens\n\n{wrong}\n")).expect("it is written");
            let error = Access::from_file(&path).expect_err(wrong);
            assert!(error.to_string().starts_with("line 3 "), "{error}");
        }
        fs::write(&path, format!("# tokens\nread,append {digits} of the web shop\n")).expect("ok");
        assert!(
            Access::from_file(&path).expect("it is well").check(Role::Read, &with("t")).is_ok()
        );
    }
}

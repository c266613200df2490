//! Finds out who makes a request, before anything else looks at it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::access::session::Session;
use crate::access::{Access, Role, origin, session, token};
use crate::app::App;
use crate::problem::{Code, Problem};

/// Whose request it is: what comes later reads it from the request's extensions.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Someone known.
    Known(Access),
    /// Nobody who is known: may ask whether the server lives, and log in.
    Unknown,
}

/// On whose account a request is counted. A request without one cannot be told from others: it is made in this process, or where
/// there are no tokens from this host, as all of them that come through a proxy are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// Of those who have this token.
    Token(String),
    /// Of somebody at this address.
    Address(IpAddr),
}

/// Refuses a request that a foreign page caused, and says of the others whose they are.
pub(crate) async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if is_for_all(&request) {
        request.extensions_mut().insert(Caller::Unknown);
    }
    // Only who calls the router in this process can have said so already.
    if request.extensions().get::<Caller>().is_none() {
        let options = app.options();
        let has_tokens = !options.tokens.is_empty();
        let any_host = (has_tokens || options.trust_everyone) && options.hosts.is_empty();
        let headers = request.headers();
        if let Err(foreign) =
            origin::check(request.method(), request.uri(), headers, &options.hosts, any_host)
        {
            return Problem::foreign(&foreign).into_response();
        }
        let known = match has_tokens {
            true => known(&app, headers),
            false if options.trust_everyone => Ok((Caller::Known(Access::local("local")), None)),
            false => on_this_host(&request).map(|caller| (caller, None)),
        };
        let (caller, session) = match known {
            Ok(known) => known,
            Err(problem) => return problem.into_response(),
        };
        let holder = match &caller {
            Caller::Known(access) if has_tokens => Some(Holder::Token(access.name.clone())),
            Caller::Known(_) | Caller::Unknown => address(&request).map(Holder::Address),
        };
        let extensions = request.extensions_mut();
        extensions.insert(caller);
        holder.map(|holder| extensions.insert(holder));
        session.map(|session| extensions.insert(session));
    }
    let caller = request.extensions().get::<Caller>().cloned();
    let mut response = next.run(request).await;
    // What is wrapped around this wants to know too.
    if let Some(caller) = caller {
        response.extensions_mut().insert(caller);
    }
    response
}

/// The address that a request comes from, where it tells something.
fn address(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.ip().to_canonical();
    (!peer.is_loopback()).then_some(peer)
}

/// Someone on this host: without tokens nobody else is let in.
fn on_this_host(request: &Request) -> Result<Caller, Problem> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>().ok_or_else(|| {
        Problem::new(
            Code::Untrusted,
            "without tokens only this host is answered, and the program does not tell who asks",
        )
    })?;
    // An IPv4 address in the form of an IPv6 one is that IPv4 address.
    match peer.ip().to_canonical().is_loopback() {
        true => Ok(Caller::Known(Access::local("local"))),
        false => Err(Problem::new(
            Code::Untrusted,
            format!("without tokens only this host is answered, and not {}", peer.ip()),
        )),
    }
}

/// What is answered to whoever asks, by whichever name and with whichever token: they tell nothing of runs, and those who watch a
/// server call it by its address.
const FOR_ALL: [&str; 3] = ["/livez", "/readyz", "/openapi.json"];

fn is_for_all(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(MatchedPath::as_str).unwrap_or_default();
    request.method().is_safe() && FOR_ALL.iter().any(|path| route.ends_with(path))
}

/// Who it is, and the session by which they are known, if it is one.
fn known(app: &App, headers: &HeaderMap) -> Result<(Caller, Option<Session>), Problem> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let bearer = value.to_str().ok().and_then(|value| value.split_once(' '));
        let secret = bearer
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, secret)| secret.trim());
        let rule = secret.and_then(|secret| token::find(&app.options().tokens, secret));
        // A wrong token is not the same as none: its holder wants to know.
        let unknown = || {
            Problem::new(
                Code::Unauthorized,
                "the token in `Authorization: Bearer …` is not one of this server's",
            )
        };
        return rule.map(|rule| (Caller::Known(rule.access()), None)).ok_or_else(unknown);
    }
    let session = cookie(headers, session::COOKIE).and_then(|secret| app.sessions().find(secret));
    let caller = session.as_ref().map_or(Caller::Unknown, |session| Caller::Known(session.access().clone()));
    Ok((caller, session))
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

/// Lets a request through when its caller has the role.
pub(crate) async fn require(State(role): State<Role>, request: Request, next: Next) -> Response {
    match request.extensions().get::<Caller>() {
        Some(Caller::Known(access)) if access.role >= role => next.run(request).await,
        Some(Caller::Known(access)) => {
            let detail = format!("this needs the role {role}; {} has the role {}", access.name, access.role);
            Problem::new(Code::Forbidden, detail).into_response()
        }
        _ => Problem::new(Code::Unauthorized, "this server answers to whoever has one of its tokens")
            .into_response(),
    }
}

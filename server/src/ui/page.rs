//! What every page knows: who looks, whose runs, in which language, and how links are made.

mod links;
mod telling;

pub(crate) use telling::UNEXPLAINED;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use stepwell::contract::{TenantId, Timestamp};
use stepwell::diagnosis::Language;

use crate::access::Access;
use crate::access::identify::{Caller, cookie};
use crate::app::App;
use crate::mount::Mount;
use crate::problem::{Code, Problem};
use crate::request::Who;
use crate::ui::words::{self, Frame};

const LANGUAGE_COOKIE: &str = "stepwell_lang";
const THEME_COOKIE: &str = "stepwell_theme";
const NOTICE_COOKIE: &str = "stepwell_notice";
/// Longest notice, in characters: it travels in a cookie.
const NOTICE_CHARS_MAX: usize = 600;
/// How long choices are kept, in seconds.
const YEAR_S: u64 = 31_536_000;

/// What needs no escape inside one part of a path or of a query.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a page knows of the request that it answers.
#[derive(Debug)]
pub(crate) struct Page {
    /// Who looks; `None` for those who are not logged in.
    pub(crate) access: Option<Access>,
    /// Whose runs are shown; `None` for everyone's.
    pub(crate) tenant: Option<TenantId>,
    /// The texts of the frame.
    pub(crate) w: &'static Frame,
    pub(crate) language: Language,
    /// What was said by the page before, once.
    pub(crate) notice: Option<Notice>,
    /// Whether there is someone to log out.
    pub(crate) has_login: bool,
    now: Timestamp,
    theme: Option<&'static str>,
    prefix: String,
    path: String,
    query: Vec<(String, String)>,
    is_secure: bool,
    cookies: Vec<String>,
}

/// What a page says once, about what was just done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Whether it went well.
    pub(crate) is_good: bool,
    pub(crate) text: String,
}

impl FromRequestParts<App> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let who = Who::from_request_parts(parts, app).await?;
        let mount = Mount::of(&parts.extensions, &parts.uri);
        let mut page = Self::new(app, mount, &parts.headers, &parts.uri);
        page.access = Some(who.access);
        page.tenant = who.tenant;
        Ok(page)
    }
}

impl Page {
    /// A page for whoever sent this, not known so far.
    pub(crate) fn new(app: &App, mount: Mount, headers: &HeaderMap, uri: &Uri) -> Self {
        let options = app.options();
        let query: Vec<(String, String)> =
            serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
        let asked = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let mut chosen = Vec::new();
        let language = asked("lang").and_then(words::language);
        if let Some(language) = language {
            chosen.push((LANGUAGE_COOKIE, language_word(language)));
        }
        let theme = asked("theme").and_then(theme_word);
        if let Some(theme) = theme {
            chosen.push((THEME_COOKIE, theme));
        }
        let language = language
            .or_else(|| cookie(headers, LANGUAGE_COOKIE).and_then(words::language))
            .or_else(|| accepted(headers))
            .unwrap_or(Language::English);
        let notice = cookie(headers, NOTICE_COOKIE).and_then(Notice::read);
        let mut page = Self {
            access: None,
            tenant: None,
            w: Frame::of(language),
            language,
            now: app.engine().now(),
            theme: theme.or_else(|| cookie(headers, THEME_COOKIE).and_then(theme_word)),
            prefix: mount.0,
            path: uri.path().to_owned(),
            is_secure: options.secure_cookies,
            has_login: !options.tokens.is_empty(),
            query,
            cookies: Vec::new(),
            notice,
        };
        for (name, value) in chosen {
            // The script changes these too, so they are not hidden from it.
            page.cookies.push(page.cookie(name, value, YEAR_S, false));
        }
        if headers.get(COOKIE).is_some() && cookie(headers, NOTICE_COOKIE).is_some() {
            page.cookies.push(page.cookie(NOTICE_COOKIE, "", 0, true));
        }
        page
    }

    /// The same for a caller, as far as one is known.
    pub(crate) fn seen_by(mut self, caller: Option<&Caller>) -> Self {
        if let Some(Caller::Known(access)) = caller {
            self.tenant = access.tenant.clone();
            self.access = Some(access.clone());
        }
        self
    }

    /// Who asks, as the operations of the REST API want to know it.
    ///
    /// # Errors
    /// [`Code::Unauthorized`] when nobody is known.
    pub(crate) fn who(&self) -> Result<Who, Problem> {
        let access = self.access.clone();
        let access = access.ok_or_else(|| Problem::new(Code::Unauthorized, "nobody is known to ask"))?;
        Ok(Who { access, tenant: self.tenant.clone() })
    }

    /// The same as [`asked`](Self::asked), to be given away.
    pub(crate) fn asked_for(&self, name: &str) -> Option<String> {
        self.asked(name).map(str::to_owned)
    }

    /// The first value of a name in the query, if it says something.
    pub(crate) fn asked(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The page, made of its template.
    ///
    /// # Errors
    /// [`Code::Internal`] when the template fails.
    pub(crate) fn show(&self, template: &impl Template) -> Result<Response, Problem> {
        self.show_with(StatusCode::OK, template)
    }

    /// The same with a status.
    pub(crate) fn show_with(
        &self,
        status: StatusCode,
        template: &impl Template,
    ) -> Result<Response, Problem> {
        let text = template.render().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        let mut response = (status, [(CACHE_CONTROL, "no-store")], Html(text)).into_response();
        self.set_cookies(&mut response, &[]);
        Ok(response)
    }

    /// Sends the browser to a path below the prefix, with a notice to show there.
    pub(crate) fn go(&self, path: &str, notice: Option<Notice>) -> Response {
        let said = notice.map(|notice| self.cookie(NOTICE_COOKIE, &notice.written(), 60, true));
        self.go_with(path, said.as_slice())
    }

    /// Sends the browser to a path below the prefix, with cookies.
    pub(crate) fn go_with(&self, path: &str, cookies: &[String]) -> Response {
        let place = self.to(path);
        let place = HeaderValue::from_str(&place).unwrap_or(HeaderValue::from_static("/"));
        let mut response = (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response();
        self.set_cookies(&mut response, cookies);
        response
    }

    fn set_cookies(&self, response: &mut Response, more: &[String]) {
        for cookie in self.cookies.iter().chain(more) {
            if let Ok(value) = HeaderValue::from_str(cookie) {
                response.headers_mut().append(SET_COOKIE, value);
            }
        }
    }

    /// What sets a cookie for the dashboard.
    pub(crate) fn cookie(&self, name: &str, value: &str, age_s: u64, is_hidden: bool) -> String {
        let path = if self.prefix.is_empty() { "/" } else { &self.prefix };
        let hidden = if is_hidden { "; HttpOnly" } else { "" };
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!("{name}={value}; Path={path}; Max-Age={age_s}; SameSite=Strict{hidden}{secure}")
    }
}

impl Notice {
    pub(crate) fn good(text: impl Into<String>) -> Self {
        Self { is_good: true, text: text.into() }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self { is_good: false, text: text.into() }
    }

    fn written(&self) -> String {
        let text: String = self.text.chars().take(NOTICE_CHARS_MAX).collect();
        format!("{}{}", if self.is_good { '+' } else { '-' }, part(&text))
    }

    fn read(text: &str) -> Option<Self> {
        let is_good = text.starts_with('+');
        let text = percent_decode_str(text.get(1..)?).decode_utf8().ok()?;
        (!text.is_empty()).then(|| Self { is_good, text: text.into_owned() })
    }
}

/// A text as one part of a path or of a query.
pub(crate) fn part(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}

/// A path that stays on this server; anything else becomes the root.
pub(crate) fn local(path: &str) -> &str {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_local { path } else { "/" }
}

fn language_word(language: Language) -> &'static str {
    match language {
        Language::Japanese => "ja",
        _ => "en",
    }
}

fn theme_word(word: &str) -> Option<&'static str> {
    ["light", "dark", "auto"].into_iter().find(|known| *known == word)
}

/// The first language of the browser's list that the pages are written in.
fn accepted(headers: &HeaderMap) -> Option<Language> {
    let list = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
    list.split(',').find_map(|item| words::language(item.split(';').next().unwrap_or_default().trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_go_back_to_is_on_this_server() {
        for path in ["/", "/runs?q=status%3Afailed", "/runs/a/steps"] {
            assert_eq!(local(path), path);
        }
        for path in ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb", "runs"] {
            assert_eq!(local(path), "/", "{path}");
        }
    }

    #[test]
    fn a_notice_comes_back_as_it_was_said() {
        let notice = Notice::bad("<b>no</b>; 駄目=\"1\"\r\n");
        assert_eq!(Notice::read(&notice.written()), Some(notice));
        assert_eq!(Notice::read(""), None);
        assert_eq!(Notice::read("é"), None);
    }
}

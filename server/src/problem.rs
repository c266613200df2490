//! How a request is refused: `application/problem+json` (RFC 9457) with a code, what is wrong and what to do.

use std::fmt;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use stepwell::Error;
use stepwell::contract::{BackendError, FaultKind, Status};
use stepwell::diagnosis::Language;
use stepwell::run::request::Verb;
use utoipa::ToSchema;

use crate::access::origin::Foreign;
use crate::view::preview::path_word;

/// The header that names a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The media type of a [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($name:ident = $code:literal, $status:ident, $title:literal, $fix:literal, $title_ja:literal, $fix_ja:literal;)*) => {
        /// What kind of refusal it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The status of the answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// What it means, the same for every answer with this code.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What to do.
            #[must_use]
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$name => $fix,)* }
            }

            /// What it means and what to do, in a language.
            #[must_use]
            pub const fn told(self, language: Language) -> (&'static str, &'static str) {
                match language {
                    Language::English => (self.title(), self.fix()),
                    Language::Japanese => match self { $(Self::$name => ($title_ja, $fix_ja),)* },
                }
            }

            /// The one that is written like this.
            #[must_use]
            pub fn named(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == code)
            }
        }
    };
}

codes! {
    BadRequest = "SW9501", BAD_REQUEST, "The request is not understood",
        "Correct what `detail` names. /openapi.json says what each operation takes.",
        "要求を理解できません",
        "`detail` が示す箇所を直してください。各操作が受け取るものは /openapi.json にあります。";
    Unauthorized = "SW9502", UNAUTHORIZED, "The caller is not known",
        "Send `Authorization: Bearer TOKEN` with a token of this server, or log in.",
        "呼び出し元が不明です",
        "このサーバーのトークンを `Authorization: Bearer TOKEN` で送るか、ログインしてください。";
    Forbidden = "SW9503", FORBIDDEN, "The caller may not do this",
        "Use a token with a stronger role.",
        "この操作は許可されていません",
        "より強い役割のトークンを使ってください。";
    NotFound = "SW9504", NOT_FOUND, "There is no such thing",
        "Check the name, and the tenant: what belongs to another tenant looks missing.",
        "該当するものがありません",
        "名前とテナントを確認してください。ほかのテナントのものは存在しないように見えます。";
    NoMethod = "SW9505", METHOD_NOT_ALLOWED, "The path does not answer to this method",
        "Use a method that the `Allow` header names.",
        "このパスはこのメソッドに応答しません",
        "`Allow` ヘッダーにあるメソッドを使ってください。";
    Refused = "SW9506", CONFLICT, "The present state does not allow it",
        "Do one of what `allowed` names, or look at the run again.",
        "現在の状態では実行できません",
        "`allowed` にある操作を行うか、実行をもう一度確認してください。";
    Conflict = "SW9507", CONFLICT, "The id is in use for something else",
        "Use another id, or ask for what is there.",
        "この ID は別のものに使われています",
        "別の ID を使うか、既存のものを参照してください。";
    Changed = "SW9508", PRECONDITION_FAILED, "It has changed since it was read",
        "Read it again, decide again, and send its new ETag in `If-Match`.",
        "読み取った後に変更されました",
        "もう一度読み取り、判断し直してから、新しい ETag を `If-Match` で送ってください。";
    TooLarge = "SW9509", PAYLOAD_TOO_LARGE, "The body is too large",
        "Send less: values of steps and inputs are limited to what /openapi.json says.",
        "本文が大きすぎます",
        "小さくしてください。ステップの値と入力の上限は /openapi.json にあります。";
    MediaType = "SW9510", UNSUPPORTED_MEDIA_TYPE, "The body has the wrong media type",
        "Send `Content-Type: application/json`.",
        "本文のメディアタイプが正しくありません",
        "`Content-Type: application/json` を送ってください。";
    Unprocessable = "SW9511", UNPROCESSABLE_ENTITY, "The request contradicts itself or what is known",
        "Correct what `detail` names.",
        "要求が矛盾しているか、既知の内容と合いません",
        "`detail` が示す箇所を直してください。";
    KeyReused = "SW9512", UNPROCESSABLE_ENTITY, "The Idempotency-Key was used for another request",
        "Use a new key for a new request, and the same key only to repeat the same one.",
        "この Idempotency-Key は別の要求に使われています",
        "新しい要求には新しいキーを使い、同じキーは同じ要求の再送にだけ使ってください。";
    ForeignHost = "SW9513", MISDIRECTED_REQUEST, "The server is called by a name that it does not have",
        "Call it as localhost, or add the name to `server.hosts` in its settings.",
        "サーバーが持たない名前で呼び出されました",
        "localhost として呼び出すか、その名前を設定の `server.hosts` に加えてください。";
    ForeignOrigin = "SW9514", FORBIDDEN, "A page of another site sent the request",
        "Send it from the dashboard itself, or from a program with a token and without an `Origin` header.",
        "別のサイトのページから送られた要求です",
        "ダッシュボード自体から送るか、プログラムからトークン付きで `Origin` ヘッダーなしに送ってください。";
    TooMany = "SW9515", TOO_MANY_REQUESTS, "Too many requests at once",
        "Wait as long as `Retry-After` says, and ask again.",
        "同時の要求が多すぎます",
        "`Retry-After` の時間だけ待ってから、もう一度送ってください。";
    Crowded = "SW9516", SERVICE_UNAVAILABLE, "Too many connections at once",
        "Close those that are not needed, wait as long as `Retry-After` says, and connect again. Whoever runs the server can \
         raise `server.connections_max`.",
        "同時の接続が多すぎます",
        "不要な接続を閉じ、`Retry-After` の時間だけ待ってから接続し直してください。サーバーの運用者は `server.connections_max` を増やせます。";
    Untrusted = "SW9517", FORBIDDEN, "The server has no tokens, and cannot trust who asks",
        "Set tokens. In a program with the router in it: serve `app.into_make_service_with_connect_info::<SocketAddr>()` to let in \
         this host, or say `ServerOptions::trust_everyone()` where something in front lets in only those who may do all.",
        "サーバーにトークンがなく、呼び出し元を信頼できません",
        "トークンを設定してください。ルーターを組み込んだプログラムでは、このホストからの呼び出しを受け入れるために `app.into_make_service_with_connect_info::<SocketAddr>()` で\
         待ち受けるか、すべてを許される相手だけが手前で通される場合に限り `ServerOptions::trust_everyone()` を指定してください。";
    Internal = "SW9520", INTERNAL_SERVER_ERROR, "A fault in the server",
        "Please report it, with the request id.",
        "サーバーの不具合です",
        "リクエスト ID を添えて報告してください。";
    Unreadable = "SW9521", INTERNAL_SERVER_ERROR, "What is stored cannot be read",
        "`stepwell check` says what is wrong with the run; `stepwell doctor` what is wrong with the store.",
        "保存されている内容を読めません",
        "実行の問題は `stepwell check`、ストアの問題は `stepwell doctor` で調べられます。";
    StoreDown = "SW9522", SERVICE_UNAVAILABLE, "The store does not answer",
        "Ask again later. Whether a change happened is unknown until the run was read again.",
        "ストアが応答しません",
        "後でもう一度試してください。変更が行われたかどうかは、実行を読み直すまで分かりません。";
    Stopping = "SW9523", SERVICE_UNAVAILABLE, "The server is shutting down",
        "Ask again after its restart, or another server.",
        "サーバーは停止処理中です",
        "再起動後に、または別のサーバーに送ってください。";
    TimedOut = "SW9524", GATEWAY_TIMEOUT, "The answer took too long",
        "Ask for less, or again later. Whether a change happened is unknown until the run was read again.",
        "応答に時間がかかりすぎました",
        "範囲を狭めるか、後でもう一度試してください。変更が行われたかどうかは、実行を読み直すまで分かりません。";
}

/// Why a request was refused, and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URN made of the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:stepwell:SW9504")]
    pub kind: String,
    /// What the code means.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// The stable code: `stepwell explain CODE` tells more.
    #[schema(example = "SW9504")]
    pub code: String,
    /// What to do.
    pub fix: String,
    /// What may be asked of the run in its present status by `POST /api/v1/runs/{run}/{verb}`, where something was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<String>>,
    /// The request, as the server's log names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// A refusal.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:stepwell:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code: code.as_str().to_owned(),
            fix: code.fix().to_owned(),
            allowed: None,
            request_id: None,
        }
    }

    /// A request whose words are not understood.
    #[must_use]
    pub fn bad(detail: impl fmt::Display) -> Self {
        Self::new(Code::BadRequest, detail.to_string())
    }

    pub(crate) fn foreign(foreign: &Foreign) -> Self {
        match foreign {
            Foreign::Host(host) => Self::new(Code::ForeignHost, format!("this server is not {host:?}")),
            Foreign::Origin(origin) => {
                Self::new(Code::ForeignOrigin, format!("the request says that it comes from {origin:?}"))
            }
        }
    }

    /// The verbs that would have been accepted.
    #[must_use]
    pub fn allowing(mut self, status: Status) -> Self {
        // These two are no verbs of `POST /api/v1/runs/{run}/{verb}`: they have paths of their own.
        let is_asked = |verb: &Verb| !matches!(verb, Verb::Report | Verb::MergeContext);
        let allowed = Verb::ALL.into_iter().filter(is_asked).filter(|verb| verb.allowed(status).is_ok());
        self.allowed = Some(allowed.map(|verb| path_word(verb.as_str())).collect());
        self
    }
}

/// A refusal, and which part of the request is at fault, where it is one part.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The name of the part.
    pub(crate) field: Option<&'static str>,
    pub(crate) problem: Problem,
}

impl Fault {
    /// A part that contradicts what is known.
    pub(crate) fn at(field: &'static str, why: &impl ToString) -> Self {
        Self { field: Some(field), problem: Problem::new(Code::Unprocessable, why.to_string()) }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self { field: None, problem }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        fault.problem
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.detail, self.code)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let is_passing = matches!(status.as_u16(), 429 | 503);
        let mut response = (status, Json(&self)).into_response();
        response.extensions_mut().insert(self);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if is_passing {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Names the request in a refusal, and in what the log says of a fault: here it has its name.
pub(crate) async fn name_request(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Some(mut problem) = parts.extensions.remove::<Problem>() else {
        return Response::from_parts(parts, body);
    };
    problem.request_id = parts.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    if parts.status.is_server_error() {
        let Problem { code, detail, request_id, .. } = &problem;
        tracing::warn!(code, detail, request_id, "a request failed");
    }
    match serde_json::to_vec(&problem) {
        Ok(text) => {
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(text))
        }
        Err(_) => Response::from_parts(parts, body),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::NoSuchRun(_) => Self::new(Code::NotFound, detail),
            Error::Conflict { .. } => Self::new(Code::Conflict, detail),
            Error::Changed { .. } => Self::new(Code::Changed, detail),
            Error::Refused { status, .. } => Self::new(Code::Refused, detail).allowing(status),
            Error::Store(source) => Self::store(&source, detail),
            Error::Journal { .. } => Self::new(Code::Unreadable, detail),
            Error::ShuttingDown => Self::new(Code::Stopping, detail),
            Error::UnknownWorkflow { .. }
            | Error::Unpostable { .. }
            | Error::Id(_)
            | Error::Input { .. }
            | Error::Payload(_)
            | Error::Options(_) => Self::new(Code::Unprocessable, detail),
            _ => Self::new(Code::Internal, detail),
        }
    }
}

impl Problem {
    fn store(error: &BackendError, detail: String) -> Self {
        let code = match error.kind() {
            FaultKind::TooLarge => Code::TooLarge,
            FaultKind::Invalid => Code::Unprocessable,
            FaultKind::Corrupt => Code::Unreadable,
            _ => Code::StoreDown,
        };
        Self::new(code, detail)
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                Self::new(Code::TooLarge, rejection.body_text())
            }
            other => Self::bad(other.body_text()),
        }
    }
}

/// What every code means, as the document `docs/refusals.md`.
#[must_use]
pub fn document() -> String {
    let mut text = String::from(
        "# Codes of refused requests\n\n\
         A refusal of the server is `application/problem+json` with one of these codes, what is wrong with the request, and what to\n\
         do. Codes are stable. `stepwell explain CODE` and `GET /api/v1/codes/CODE` tell the same. What is said of runs that fail has\n\
         [codes of its own](errors/README.md).\n\n\
         | code | status | what it means | what to do |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let (name, status) = (code.as_str(), code.status().as_u16());
        text += &format!("| {name} | {status} | {} | {} |\n", code.title(), code.fix());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_code_is_one_of_a_kind_and_says_what_it_means_and_what_to_do() {
        let mut codes = BTreeSet::new();
        for code in Code::ALL {
            let name = code.as_str();
            assert!(codes.insert(name), "{name} is there twice");
            assert!(name.len() == 6 && name.starts_with("SW95"), "{name} is not in the range of refusals");
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{name}");
            assert!(code.title().len() > 10 && code.fix().len() > 20 && code.fix().ends_with('.'), "{name}");
            let is_diagnosis = stepwell::diagnosis::page::codes().any(|diagnosis| diagnosis == name);
            assert!(!is_diagnosis, "{name} is a diagnosis, too");
        }
    }

    #[test]
    fn the_document_says_what_the_table_says() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/refusals.md");
        let written = std::fs::read_to_string(file).expect("docs/refusals.md");
        assert_eq!(written, document(), "run `cargo run -p stepwell-server --example refusal_page`");
    }
}

//! The same faults in the words and types of others: wrapped, told by drivers, by other languages, in text alone.

use std::fs;
use std::io;
use std::net::SocketAddr;

use stepwell::workflow::classify::{Classified, Classifiers};
use stepwell::{StepError, StepResult, StepResultExt as _};
use tokio::net::TcpStream;

use crate::cases;
use crate::harness::faults::case::Case;
use crate::harness::faults::files::{Disk, text};
use crate::harness::faults::lab::Lab;
use crate::harness::faults::servers::refusing;

pub(super) const CASES: &[Case] = cases! {
    #[quick] anyhow_around_a_missing_file: Wording ["SW3001"] "make_file", |lab: Lab| {
        let path = lab.path("tariffs.yaml");
        lab.fails(move || {
            let path = path.clone();
            async move {
                use anyhow::Context as _;
                let read = fs::read_to_string(&path).with_context(|| format!("loading tariffs from {path}"));
                read.context("pricing cannot start").map_err(StepError::from)
            }
        })
    };
    #[quick] anyhow_without_context: Wording ["SW3001", "SW3002"] "", |lab: Lab| {
        let path = lab.path("tariffs.yaml");
        lab.fails(move || {
            let path = path.clone();
            async move { fs::read_to_string(&path).map_err(|error| StepError::from(anyhow::Error::new(error)).note(path)) }
        })
    };
    #[quick] an_enum_of_ones_own_around_a_folder_that_is_missing: Wording ["SW3002"] "mend_path", |lab: Lab| {
        let path = lab.path("out/2026/w.parquet");
        lab.fails(move || {
            let path = path.clone();
            async move {
                fs::File::create(&path).map_err(|source| ExportError::Sink { path, source })?;
                Ok(String::new())
            }
        })
    };
    #[quick] anyhow_around_a_refused_port: Wording ["SW4001"] "start_dependency", |lab: Lab| async move {
        let at = refusing()?;
        lab.fails(move || async move {
            use anyhow::Context as _;
            let connected = TcpStream::connect(at).await.with_context(|| format!("connecting to ledger at {at}"));
            connected.context("posting failed").map_err(StepError::from)?;
            Ok(String::new())
        }).await
    };
    #[quick] a_client_that_keeps_only_text: Wording ["SW4001"] "start_dependency", |lab: Lab| async move {
        let at = refusing()?;
        lab.fails(move || async move {
            let connected = TcpStream::connect(at).await;
            connected.map_err(|error| anyhow::anyhow!("error sending request for url (http://{at}/v1): tcp connect error: {error}"))?;
            Ok(String::new())
        }).await
    };
    #[quick] go_on_a_refused_port: Wording ["SW4001"] "start_dependency", |lab: Lab| async move {
        let at = refusing()?;
        lab.fails(move || async move {
            says(&format!("exit status 1: 2026/11/22 10:01:02 dial tcp {at}: connect: connection refused"))
        }).await
    };
    #[quick] python_on_a_refused_port: Wording ["SW4001"] "start_dependency", |lab: Lab| async move {
        let at = refusing()?;
        lab.fails(move || async move {
            says(&format!(
                "Traceback (most recent call last):\n  File \"/app/sync.py\", line 12, in <module>\nrequests.exceptions.\
                 ConnectionError: HTTPConnectionPool(host='127.0.0.1', port={}): Max retries exceeded with url: /v1 \
                 (Caused by NewConnectionError('Failed to establish a new connection: [Errno 111] Connection refused'))",
                at.port()
            ))
        }).await
    };
    #[quick] node_on_a_refused_port: Wording ["SW4001"] "start_dependency", |lab: Lab| async move {
        let at = refusing()?;
        lab.fails(move || async move { says(&format!("Error: connect ECONNREFUSED {at}")) }).await
    };
    #[quick] node_on_a_missing_file: Wording ["SW3001", "SW3002"] "", |lab: Lab| {
        let path = lab.path("in.json");
        lab.fails(move || {
            let path = path.clone();
            async move { says(&format!("Error: ENOENT: no such file or directory, open '{path}'")) }
        })
    };
    #[quick] python_on_a_missing_file: Wording ["SW3001", "SW3002"] "", |lab: Lab| {
        let path = lab.path("in.json");
        lab.fails(move || {
            let path = path.clone();
            async move { says(&format!("FileNotFoundError: [Errno 2] No such file or directory: '{path}'")) }
        })
    };
    a_shell_command_on_a_full_disk: Wording ["SW3004"] "free_space", |mut lab: Lab| async move {
        let Some(disk) = Disk::mount("size=64k") else {
            lab.stand_in("its words");
            return lab.fails(|| async { says("dd: error writing 'x': No space left on device (os error 28)") }).await;
        };
        let path = disk.file("dump.bin");
        lab.fails(move || {
            let target = format!("of={path}");
            async move {
                let mut dd = std::process::Command::new("dd");
                let written = dd.args(["if=/dev/zero", &target, "bs=4k", "count=64"]).env("LC_ALL", "C").output()?;
                says(String::from_utf8_lossy(&written.stderr).trim())
            }
        }).await
    };
    #[quick] a_shell_command_on_a_missing_file: Wording ["SW3001", "SW3002"] "", |lab: Lab| {
        let path = lab.path("in.tar");
        lab.fails(move || {
            let path = path.clone();
            async move {
                let unpacked = std::process::Command::new("tar").args(["-xf", &path]).env("LC_ALL", "C").output()?;
                says(String::from_utf8_lossy(&unpacked.stderr).trim())
            }
        })
    };
    a_shell_command_without_the_right: Wording ["SW3003"] "grant_access" in Nobody, |lab: Lab| {
        lab.fails(|| async {
            let read = std::process::Command::new("cat").arg("/etc/shadow").env("LC_ALL", "C").output()?;
            says(String::from_utf8_lossy(&read.stderr).trim())
        })
    };
    #[quick] java_out_of_file_handles: Wording ["SW3007"] "raise_open_files", |lab: Lab| {
        lab.fails(|| async {
            says("java.io.FileNotFoundException: /var/lib/app/seg-9.log (Too many open files)\n\tat java.base/java.io.\
                  FileInputStream.open0(Native Method)")
        })
    };
    #[quick] a_database_driver_on_a_duplicate: Wording ["SW1103"] "check_effect", |lab: Lab| {
        lab.fails(|| async {
            Err(SqlError::Database(Box::new(PgError {
                severity: "ERROR",
                code: "23505",
                message: "duplicate key value violates unique constraint \"payments_pkey\"",
            })).into())
        })
    };
    #[quick] mysql_on_a_duplicate: Wording ["SW1103"] "check_effect", |lab: Lab| {
        lab.fails(|| async {
            says("ERROR 1062 (23000): Duplicate entry 'A-77' for key 'orders.PRIMARY'")
        })
    };
    #[quick] sqlite_on_a_duplicate: Wording ["SW1103"] "check_effect", |lab: Lab| {
        lab.fails(|| async { says("UNIQUE constraint failed: invoices.number") })
    };
    #[quick] a_database_driver_on_a_refused_port: Wording ["SW4001"] "start_dependency", |lab: Lab| async move {
        let at = refusing()?;
        lab.fails(move || async move {
            let connected = TcpStream::connect(at).await.map_err(SqlError::Io);
            connected.map_err(|error| StepError::from(error).note(format!("pool of postgres://app@{at}/shop")))?;
            Ok(String::new())
        }).await
    };
    #[quick] a_password_that_postgres_refuses: Wording ["SW5002", "SW5003"] "set_credentials", |lab: Lab| {
        lab.fails(|| async {
            Err(SqlError::Database(Box::new(PgError {
                severity: "FATAL",
                code: "28P01",
                message: "password authentication failed for user \"app\"",
            })).into())
        })
    };
    #[quick] a_redis_client_without_a_login: Wording ["SW5002", "SW5003"] "set_credentials", |lab: Lab| {
        let classifiers = Classifiers::default().with::<RedisError>(|error| Classified::of_redis_code(error.code));
        lab.classifiers(classifiers).fails(|| async {
            Err(RedisError { code: "NOAUTH", detail: "Authentication required." }.into())
        })
    };
    #[quick] a_redis_client_while_it_loads: Wording ["SW4009"] "look_at_dependency", |lab: Lab| {
        let classifiers = Classifiers::default().with::<RedisError>(|error| Classified::of_redis_code(error.code));
        lab.classifiers(classifiers).fails(|| async {
            Err(RedisError { code: "LOADING", detail: "Redis is loading the dataset in memory" }.into())
        })
    };
    #[quick] a_status_that_the_step_maps_itself: Wording ["SW4006"] "lower_pace", |lab: Lab| {
        lab.fails(|| async {
            Err(StepError::throttled("carrier says 429", std::time::Duration::from_secs(3)).code("carrier.429"))
        })
    };
    #[quick] a_status_in_text_alone: Wording ["SW4009", "SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::unavailable("upstream answered 503 Service Unavailable")) })
    };
    #[quick] numeric_codes_of_ones_own: Wording ["SW4009"] "look_at_dependency", |lab: Lab| {
        let classifiers = Classifiers::default().with::<Grpc>(|error| match error.0 {
            14 => Some(Classified::of_status(503)),
            _ => None,
        });
        lab.classifiers(classifiers).fails(|| async { Err(Grpc(14).into()) })
    };
    a_certificate_nobody_trusts: Wording ["SW4004"] "renew_certificate", |lab: Lab| {
        lab.fails(|| async {
            let bad = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
            let error = io::Error::new(io::ErrorKind::InvalidData, bad);
            Err(HyperError { what: "client error (Connect)", source: error }.into())
        })
    };
    #[quick] openssl_on_a_certificate: Wording ["SW4004"] "renew_certificate", |lab: Lab| {
        lab.fails(|| async {
            says("error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:\
                  ../ssl/statem/statem_clnt.c:1889: (certificate has expired)")
        })
    };
    #[quick] go_on_a_certificate: Wording ["SW4004"] "renew_certificate", |lab: Lab| {
        lab.fails(|| async {
            says("Get \"https://pay.example.invalid/v1\": tls: failed to verify certificate: x509: certificate signed \
                  by unknown authority")
        })
    };
    #[quick] a_name_that_curl_does_not_find: Wording ["SW4003"] "check_name", |lab: Lab| {
        lab.fails(|| async { says("curl: (6) Could not resolve host: rates.stepwell.invalid") })
    };
    #[quick] a_name_that_java_does_not_find: Wording ["SW4003"] "check_name", |lab: Lab| {
        lab.fails(|| async { says("java.net.UnknownHostException: rates.stepwell.invalid: Name or service not known") })
    };
    #[quick] a_pipe_that_broke: Wording ["SW4002"] "look_at_dependency", |lab: Lab| async move {
        let at = refusing()?;
        lab.fails(move || async move {
            let error = io::Error::from_raw_os_error(32);
            Err(HyperError { what: "connection error", source: error }).note(format!("uploading to {at}"))
        }).await
    };
    #[quick] json_inside_of_anyhow: Wording ["SW1102"] "edit_input", |lab: Lab| {
        lab.fails(|| async {
            use anyhow::Context as _;
            let read: Result<Vec<u32>, _> = serde_json::from_str("[1, 2, \"three\"]");
            read.context("reading the basket").map_err(StepError::from)?;
            Ok(String::new())
        })
    };
    #[quick] a_csv_row_that_is_short: Wording ["SW1102", "SW1101"] "edit_input", |lab: Lab| {
        lab.fails(|| async {
            Err(StepError::validation(
                "CSV error: record 17 (line: 18, byte: 1033): found record with 4 fields, but the previous record has 5 fields",
            ))
        })
    };
    #[quick] a_panic_in_a_blocking_task: Wording ["SW1001"] "deploy_fix", |lab: Lab| {
        lab.fails(|| async {
            let summed = tokio::task::spawn_blocking(|| [1u32, 2].iter().map(|n| n - 2).sum::<u32>());
            Ok(summed.await.map_err(|error| anyhow::Error::new(error).context("summing up"))?.to_string())
        })
    };
    #[quick] a_read_only_disk_in_words: Wording ["SW3005"] "remount", |lab: Lab| {
        lab.fails(|| async { says("cp: cannot create regular file '/mnt/export/a.csv': Read-only file system (os error 30)") })
    };
    #[quick] a_quota_in_words: Wording ["SW3010"] "raise_quota", |lab: Lab| {
        lab.fails(|| async { says("rsync: write failed on \"/home/app/out.bin\": Disk quota exceeded (122)") })
    };
    #[quick] a_refusal_in_japanese: Wording ["SW4001", "SW9001"] "", |lab: Lab| async move {
        let at: SocketAddr = refusing()?;
        lab.fails(move || async move { says(&format!("{at} への接続が拒否されました (os error 111)")) }).await
    };
    #[quick] a_folder_that_may_not_be_listed_in_german: Wording ["SW3003", "SW9001"] "", |lab: Lab| {
        lab.fails(|| async { says("ls: Öffnen von Verzeichnis '/lost+found' nicht möglich: Keine Berechtigung (errno 13)") })
    };
    #[quick] a_variable_that_dotenv_misses: Wording ["SW3008"] "set_variable", |lab: Lab| {
        lab.fails(|| async {
            Err(SettingsError::Variable { name: "PAYMENT_KEY", source: std::env::VarError::NotPresent }.into())
        })
    };
    #[quick] reqwest_on_a_status_nobody_registered: Wording ["SW4009"] "look_at_dependency", |lab: Lab| {
        lab.fails(|| async { says("HTTP status server error (503 Service Unavailable) for url (https://api.stepwell.invalid/v2)") })
    };
    #[quick] reqwest_on_a_login_nobody_registered: Wording ["SW5002", "SW5003"] "set_credentials", |lab: Lab| {
        lab.fails(|| async { says("HTTP status client error (401 Unauthorized) for url (https://api.stepwell.invalid/v2)") })
    };
    #[quick] python_that_is_throttled: Wording ["SW4006"] "lower_pace", |lab: Lab| {
        lab.fails(|| async {
            says("requests.exceptions.HTTPError: 429 Client Error: Too Many Requests for url: https://api.stepwell.invalid/v2")
        })
    };
    #[quick] tonic_on_a_refused_port: Wording ["SW4001"] "start_dependency", |lab: Lab| async move {
        let at = refusing()?;
        lab.fails(move || async move {
            says(&format!(
                "status: Unavailable, message: \"error trying to connect to http://{at}: tcp connect error: Connection refused \
                 (os error 111)\", details: [], metadata: MetadataMap {{ headers: {{}} }}"
            ))
        }).await
    };
    #[quick] java_on_a_missing_file: Wording ["SW3001", "SW3002"] "", |lab: Lab| {
        let path = lab.path("in.csv");
        lab.fails(move || {
            let path = path.clone();
            async move { says(&format!("java.nio.file.NoSuchFileException: {path}\n\tat java.base/sun.nio.fs.Unix")) }
        })
    };
    #[quick] s3_with_an_old_token: Wording ["SW5002", "SW5003"] "set_credentials", |lab: Lab| {
        lab.fails(|| async {
            says("service error: ExpiredToken: The provided token has expired. (Service: S3, Status Code: 400)")
        })
    };
    #[quick] mongo_on_a_duplicate: Wording ["SW1103"] "check_effect", |lab: Lab| {
        lab.fails(|| async { says("E11000 duplicate key error collection: shop.orders index: _id_ dup key: { _id: 7 }") })
    };
    #[quick] a_step_that_says_it_in_a_sentence: Wording ["SW4001"] "start_dependency", |lab: Lab| {
        lab.fails(|| async { Err(StepError::unavailable("got connection refused while talking to the ledger")) })
    };
    #[quick] an_error_in_an_arc_in_a_box: Wording ["SW3007"] "raise_open_files", |lab: Lab| {
        lab.fails(|| async {
            let shared: std::sync::Arc<dyn std::error::Error + Send + Sync> =
                std::sync::Arc::new(io::Error::from_raw_os_error(24));
            Err(anyhow::Error::new(Shared(shared)).context("accepting").into())
        })
    };
    #[quick] json_through_io: Wording ["SW1102"] "edit_input", |lab: Lab| {
        lab.fails(|| async {
            let read: Result<u32, _> = serde_json::from_str("{\n\"a\": tru}");
            Err(io::Error::from(read.expect_err("it is no number")).into())
        })
    };
    a_file_that_was_there_to_copy: Wording ["SW3002"] "mend_path", |lab: Lab| async move {
        let (from, to) = (lab.path("a.csv"), lab.path("archive/2026/a.csv"));
        fs::write(&from, "x").map_err(text)?;
        lab.fails(move || {
            let (from, to) = (from.clone(), to.clone());
            async move {
                fs::copy(&from, &to).note(format!("copying {from} to {to}"))?;
                Ok(String::new())
            }
        }).await
    };
};

/// An error of which nothing is known but its text.
fn says(text: &str) -> StepResult<String> {
    Err(anyhow::anyhow!("{text}").into())
}

#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("sink {path} cannot be opened")]
    Sink { path: String, source: io::Error },
}

#[derive(Debug, thiserror::Error)]
enum SqlError {
    #[error("error returned from database: {0}")]
    Database(#[source] Box<PgError>),
    #[error("error communicating with database: {0}")]
    Io(#[source] io::Error),
}

#[derive(Debug, thiserror::Error)]
#[error("{severity}: {message} (SQLSTATE {code})")]
struct PgError {
    severity: &'static str,
    code: &'static str,
    message: &'static str,
}

#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
struct RedisError {
    code: &'static str,
    detail: &'static str,
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct HyperError {
    what: &'static str,
    source: io::Error,
}

#[derive(Debug, thiserror::Error)]
#[error("status {0}: transport is closing")]
struct Grpc(u32);

#[derive(Debug, thiserror::Error)]
#[error("the listener is broken")]
struct Shared(#[source] std::sync::Arc<dyn std::error::Error + Send + Sync>);

#[derive(Debug, thiserror::Error)]
enum SettingsError {
    #[error("{name} is needed")]
    Variable { name: &'static str, source: std::env::VarError },
}

//! Redis over TLS: who is trusted, who is refused, and that each refusal says what to do.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use stepwell_contract::{Backend, BackendError, Batch, FaultKind};
use stepwell_redis::test_server::TestServer;
use stepwell_redis::{RedisBackend, RedisOptions};
use tempfile::TempDir;

mod support;

/// A server that speaks TLS on a port and nothing else there, and the files of its certificates.
struct Secure {
    folder: TempDir,
    port: u16,
    _server: TestServer,
}

impl Secure {
    /// `clients` is the server's `tls-auth-clients`. Its certificate is for `localhost`.
    fn start(clients: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: String| std::fs::write(at(name), text).expect("written");
        let key = || KeyPair::generate().expect("a key");
        for ca in ["ca", "other-ca"] {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, ca);
            let issuer = CertifiedIssuer::self_signed(params, key()).expect("a CA");
            write(&format!("{ca}.pem"), issuer.pem());
            for (holder, name) in [("server", "localhost"), ("client", "worker.example")] {
                let (key, mut params) = (key(), CertificateParams::new([name.to_owned()]).expect("a name"));
                params.distinguished_name.push(DnType::CommonName, name);
                let certificate = params.signed_by(&key, &issuer).expect("a certificate");
                write(&format!("{holder}-of-{ca}.pem"), certificate.pem());
                write(&format!("{holder}-of-{ca}.key"), key.serialize_pem());
            }
        }
        let text = |name: &str| at(name).display().to_string();
        // Free a moment ago: the server takes it at once.
        let port = TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound").port();
        let settings = [
            ("bind", "127.0.0.1"),
            ("tls-port", &port.to_string()),
            ("tls-cert-file", &text("server-of-ca.pem")),
            ("tls-key-file", &text("server-of-ca.key")),
            ("tls-ca-cert-file", &text("ca.pem")),
            ("tls-auth-clients", clients),
        ];
        let server = TestServer::start(&settings).unwrap_or_else(|error| {
            panic!("{error}\nIs this redis-server built with TLS? Debian's is.");
        });
        Self { folder, port, _server: server }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self, scheme: &str, host: &str, files: &[(&str, &str)]) -> String {
        let files = files.iter().map(|(option, name)| format!("&{option}={}", self.at(name).display()));
        format!("{scheme}://{host}:{}/0?prefix=tls{}", self.port, files.collect::<String>())
    }
}

async fn open(url: &str) -> Result<RedisBackend, BackendError> {
    RedisBackend::open(url, RedisOptions::default()).await
}

/// It is refused at once, for good, and says what to do.
async fn is_refused(url: &str, fix: &str) {
    let begun = Instant::now();
    let error = open(url).await.map(drop).expect_err(url);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(error.kind(), FaultKind::Refused, "{url}: {error}");
    assert!(error.to_string().contains(fix), "{url}: {error}");
}

#[tokio::test]
async fn what_is_written_over_tls_is_read_again() {
    let server = Secure::start("no");
    let url = server.url("rediss", "localhost", &[("ca", "ca.pem")]);
    let backend = open(&url).await.expect("a trusted server");
    let mut run = support::head("a");
    let birth = Batch::create(run.clone(), Vec::new());
    assert!(
        backend.commit(&[birth, support::step(&mut run, 100_000)]).await.expect("written")[1].is_accepted()
    );
    let again = open(&url).await.expect("opens again");
    assert_eq!(again.head(&run.key).await.expect("read").map(|head| head.version), Some(run.version));
    // Hints come over a connection of their own, which is built in another place.
    let (waiting, telling) = (again.changed(Duration::from_secs(30)), async {
        while backend.commit(&[support::step(&mut run, 10)]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let begun = Instant::now();
    tokio::select! {
        () = waiting => assert!(begun.elapsed() < Duration::from_secs(20), "the hint came"),
        () = telling => panic!("a commit failed"),
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_refused_with_what_to_do() {
    let server = Secure::start("no");
    let with = |host: &str, files: &[(&str, &str)]| server.url("rediss", host, files);
    let name_its_ca = "name its CA in the URL with ca=/path/to/ca.pem";
    is_refused(&with("localhost", &[("ca", "other-ca.pem")]), name_its_ca).await;
    is_refused(&with("localhost", &[]), name_its_ca).await;
    is_refused(&with("127.0.0.1", &[("ca", "ca.pem")]), "give the URL a host that stands in it").await;
    is_refused(&with("localhost", &[("ca", "nowhere.pem")]), "nowhere.pem: No such file").await;
    is_refused(
        &with("localhost", &[("ca", "server-of-ca.key")]),
        "it has no line with \"BEGIN CERTIFICATE\"",
    )
    .await;
}

#[tokio::test]
async fn a_server_that_wants_to_know_its_clients_is_shown_a_certificate() {
    let server = Secure::start("yes");
    let with =
        |files: &[(&str, &str)]| server.url("rediss", "localhost", &[&[("ca", "ca.pem")], files].concat());
    open(&with(&[("cert", "client-of-ca.pem"), ("key", "client-of-ca.key")])).await.expect("it is known");
    let name_it = "name it in the URL with cert= and key=";
    is_refused(&with(&[]), name_it).await;
    is_refused(&with(&[("cert", "client-of-other-ca.pem"), ("key", "client-of-other-ca.key")]), name_it)
        .await;
}

#[tokio::test]
async fn plain_talk_to_a_tls_port_and_tls_to_a_plain_port_end_soon_and_say_why() {
    let server = Secure::start("no");
    let begun = Instant::now();
    let error = open(&server.url("redis", "localhost", &[])).await.map(drop).expect_err("it speaks TLS");
    assert!(error.to_string().contains("use rediss://"), "{error}");
    let plain = TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound").port();
    let _plain = TestServer::start(&[("bind", "127.0.0.1"), ("port", &plain.to_string())]);
    let ca = server.at("ca.pem").display().to_string();
    let error =
        open(&format!("rediss://localhost:{plain}/0?ca={ca}")).await.map(drop).expect_err("it does not");
    assert!(error.to_string().contains("use redis://"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

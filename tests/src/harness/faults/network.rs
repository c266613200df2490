//! Faults of what a step talks to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stepwell::contract::{Clock, MemoryBackend, SystemClock, Timestamp};
use stepwell::{StepResult, StepResultExt as _, Workflow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cases;
use crate::harness::faults::case::Case;
use crate::harness::faults::lab::Lab;
use crate::harness::faults::servers::{Manner, classifiers, get, refusing, server, tls};

pub(super) const CASES: &[Case] = cases! {
    #[quick] a_refused_port: Fault ["SW4001"] "start_dependency", |lab: Lab| async move {
        let at = refusing()?;
        lab.fails(move || asks(at)).await
    };
    #[quick] a_refused_port_of_a_client: Fault ["SW4001"] "start_dependency", |lab: Lab| async move {
        let at = refusing()?;
        lab.classifiers(classifiers()).fails(move || async move { Ok(get(at, "/v1/rates").await?) }).await
    };
    #[quick] a_connection_that_is_reset: Fault ["SW4002"] "look_at_dependency", |lab: Lab| async move {
        let at = server(&[Manner::Resets]).await?;
        lab.fails(move || asks(at)).await
    };
    #[quick] a_server_that_hangs_up: Fault ["SW4002"] "look_at_dependency", |lab: Lab| async move {
        let at = server(&[Manner::HangsUp]).await?;
        lab.fails(move || asks(at)).await
    };
    a_name_that_nobody_knows: Fault ["SW4003"] "check_name", |lab: Lab| {
        lab.fails(|| async {
            let name = "db.stepwell.invalid:5432";
            TcpStream::connect(name).await.note(format!("connecting to {name}"))?;
            Ok(String::new())
        })
    };
    tls_to_a_server_without: Fault ["SW4004"] "renew_certificate", |lab: Lab| async move {
        let at = server(&[Manner::PlainText]).await?;
        lab.fails(move || async move {
            tls(at).await.note(format!("https://{at}/"))?;
            Ok(String::new())
        }).await
    };
    a_clock_that_is_off_and_a_certificate: Fault ["SW2007"] "sync_clock", |lab: Lab| async move {
        let at = server(&[Manner::PlainText]).await?;
        let store = MemoryBackend::with_clock(Arc::new(Tomorrow));
        lab.on(Arc::new(store)).fails(move || async move {
            tls(at).await.note(format!("https://{at}/"))?;
            Ok(String::new())
        }).await
    };
    a_server_slower_than_the_client_waits: Fault ["SW4008"] "look_at_dependency", |lab: Lab| async move {
        let at = server(&[Manner::Silent]).await?;
        lab.fails(move || async move {
            let asked = tokio::time::timeout(Duration::from_millis(100), asks(at)).await;
            asked.note(format!("GET http://{at}/stock"))?
        }).await
    };
    #[quick] a_network_without_a_way: Fault ["SW4010"] "mend_network", |lab: Lab| {
        lab.fails(|| async {
            // Nothing is ever connected to this address.
            let named = "255.255.255.255:80";
            let error = TcpStream::connect(named).await.err().unwrap_or_else(|| io::Error::from_raw_os_error(101));
            Err(error).note(format!("connecting to {named}"))
        })
    };
    #[quick] a_server_that_fails: Fault ["SW4009"] "look_at_dependency", |lab: Lab| async move {
        let at = server(&[Manner::Answers(500, None)]).await?;
        lab.classifiers(classifiers()).fails(move || async move { Ok(get(at, "/v1/x").await?) }).await
    };
    #[quick] a_server_that_is_overloaded: Fault ["SW4009"] "look_at_dependency", |lab: Lab| async move {
        let at = server(&[Manner::Answers(503, None)]).await?;
        lab.classifiers(classifiers()).fails(move || async move { Ok(get(at, "/v1/x").await?) }).await
    };
    #[quick] a_gateway_that_waits_in_vain: Fault ["SW4008"] "look_at_dependency", |lab: Lab| async move {
        let at = server(&[Manner::Answers(504, None)]).await?;
        lab.classifiers(classifiers()).fails(move || async move { Ok(get(at, "/v1/x").await?) }).await
    };
    #[quick] a_server_that_asks_for_patience: Fault ["SW4006"] "wait_and_retry", |lab: Lab| async move {
        let at = server(&[Manner::Answers(429, Some(30))]).await?;
        lab.classifiers(classifiers()).fails(move || async move { Ok(get(at, "/v1/x").await?) }).await
    };
    credentials_that_have_expired: Fault ["SW5001"] "renew_credentials", |lab: Lab| async move {
        let at = server(&[Manner::Answers(200, None), Manner::Answers(200, None), Manner::Answers(401, None)]).await?;
        let lab = lab.classifiers(classifiers());
        lab.plays(&["a", "b", "c"], move |_, _| async move { Ok(get(at, "/v1/x").await?) }).await
    };
    #[quick] credentials_that_never_worked: Fault ["SW5002"] "set_credentials", |lab: Lab| async move {
        let at = server(&[Manner::Answers(401, None)]).await?;
        lab.classifiers(classifiers()).fails(move || async move { Ok(get(at, "/v1/x").await?) }).await
    };
    a_right_that_was_never_given: Fault ["SW5002", "SW5003"] "set_credentials", |lab: Lab| async move {
        let at = server(&[Manner::Answers(403, None)]).await?;
        let lab = lab.classifiers(classifiers());
        lab.plays(&["a", "b"], move |_, _| async move { Ok(get(at, "/admin").await?) }).await
    };
    a_service_that_is_down_for_all: Fault ["SW4005"] "retry_group", |mut lab: Lab| async move {
        let at = refusing()?;
        let act = move |_, _: String| async move { asks(at).await };
        let (one, two) = ("reserve", "invoice");
        let flow = |name: &str, step: &str| {
            Workflow::named(name).step_fn(step, act).policy(crate::harness::faults::time::once()).build()
        };
        let flows = flow("stock", one).and_then(|stock| Ok((stock, flow("billing", two)?)));
        let (stock, billing) = flows.map_err(|error| error.to_string())?;
        let engine = lab.builder().register(stock).register(billing).start().await;
        let engine = engine.map_err(|error| error.to_string())?;
        lab.rests(&engine, "stock", "1").await?;
        lab.rests(&engine, "stock", "2").await?;
        let (run, took) = lab.rests(&engine, "billing", "3").await?;
        lab.outcome(&engine, run.key(), took).await
    };
    a_service_that_now_works_and_now_does_not: Fault ["SW4007"] "raise_attempts", |lab: Lab| async move {
        let bad = [Manner::Answers(503, None), Manner::Resets, Manner::Answers(500, None), Manner::Resets];
        let at = server(&bad).await?;
        let lab = lab.classifiers(classifiers()).attempts(4);
        lab.fails(move || async move { Ok(get(at, "/v1/x").await?) }).await
    };
};

/// A clock that is a day ahead of that of this machine.
#[derive(Debug)]
struct Tomorrow;

impl Clock for Tomorrow {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_ms(86_400_000)
    }
}

/// Connects, asks and reads the answer, as any client does.
pub(super) async fn asks(at: SocketAddr) -> StepResult<String> {
    let mut stream = TcpStream::connect(at).await.note(format!("connecting to {at}"))?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.note(format!("asking {at}"))?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.note(format!("reading the answer of {at}"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

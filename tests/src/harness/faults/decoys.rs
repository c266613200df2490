//! Failures that only resemble a fault: each has a cause of its own, or one that nobody can know.

use std::fs;
use std::io;

use stepwell::diagnosis::Confidence;
use stepwell::{StepError, StepResult, StepResultExt as _};

use crate::cases;
use crate::harness::faults::case::{Case, Outcome};
use crate::harness::faults::files::text;
use crate::harness::faults::lab::Lab;
use crate::harness::faults::network::asks;
use crate::harness::faults::servers::{Manner, classifiers, get, server};
use crate::harness::faults::time::{ms, nap, once};

pub(super) const CASES: &[Case] = cases! {
    #[quick] a_customer_who_refuses: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("connection refused by the customer: no fibre wanted")) })
    };
    #[quick] a_shelf_without_space: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("no space left on device shelf 7, use shelf 8")) })
    };
    #[quick] a_bank_that_denies: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("the bank answered: permission denied")) })
    };
    #[quick] a_birth_certificate: Decoy ["SW1101"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::validation("the birth certificate of the applicant is missing")) })
    };
    #[quick] a_certificate_of_a_course: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("this certificate was printed already")) })
    };
    #[quick] a_patient_who_timed_out: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("the operation timed out: the surgeon was late")) })
    };
    #[quick] a_log_line_in_bad_data: Decoy ["SW1101", "SW1102"] "", |lab: Lab| {
        lab.plays(&["open /etc/passwd: no such file or directory (os error 2)"], |_, input| async move {
            let read: Result<u32, _> = serde_json::from_str(&format!("{input:?}"));
            Ok(read?.to_string())
        })
    };
    #[quick] a_field_named_like_an_error: Decoy ["SW1101", "SW1102"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::validation("missing field `ENOSPC` in the report on disks")) })
    };
    a_server_that_tells_of_its_own_file: Decoy ["SW4009"] "", |lab: Lab| async move {
        let at = server(&[Manner::Answers(500, None)]).await?;
        lab.classifiers(classifiers()).fails(move || async move {
            let asked = get(at, "/v1/x").await;
            asked.note("it said: open /srv/templates/x.html: no such file or directory")
        }).await
    };
    #[quick] a_customer_who_is_not_found: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("customer 7 was not found").code("NOT_FOUND")) })
    };
    a_page_that_is_not_found: Decoy ["SW9001"] "", |lab: Lab| async move {
        let at = server(&[Manner::Answers(404, None)]).await?;
        lab.classifiers(classifiers()).fails(move || async move { Ok(get(at, "/v1/orders/7").await?) }).await
    };
    #[quick] a_wish_of_the_customer: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::cancelled("the customer cancelled the order")) })
    };
    #[quick] a_panic_elsewhere: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("the market is in panic: thread panicked at 'sell'")) })
    };
    #[quick] a_limit_of_days_not_of_steps: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::timeout("nobody approved it within three days")) })
    };
    a_step_that_works_until_its_time_is_up: Decoy ["SW9001", "SW2003"] "", |lab: Lab| {
        lab.policy(once().attempt_timeout(ms(400))).fails(|| async {
            loop {
                let until = std::time::Instant::now() + ms(5);
                while std::time::Instant::now() < until {
                    std::hint::spin_loop();
                }
                tokio::task::yield_now().await;
            }
        })
    };
    a_step_that_blocks_briefly_and_is_refused: Decoy ["SW4001"] "", |lab: Lab| async move {
        let at = crate::harness::faults::servers::refusing()?;
        lab.fails(move || async move {
            std::thread::sleep(ms(1_200));
            asks(at).await
        }).await
    };
    a_file_that_is_there_again: Decoy ["SW3001", "SW9001"] "", |lab: Lab| async move {
        let path = lab.path("late.csv");
        lab.fails(move || {
            let path = path.clone();
            async move {
                let read = fs::read_to_string(&path);
                fs::write(&path, "x")?;
                read.note(format!("reading {path}"))
            }
        }).await
    };
    #[quick] a_number_of_an_error_that_is_a_score: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("team 13 lost 28 to 30, error 2 was decisive")) })
    };
    #[quick] a_right_told_of_a_path_that_is_open: Decoy ["SW9001"] "", |lab: Lab| async move {
        let path = lab.path("open.txt");
        fs::write(&path, "x").map_err(text)?;
        lab.fails(move || {
            let path = path.clone();
            async move { Err(StepError::permanent(format!("the auditor says of {path}: permission denied"))) }
        }).await
    };
    #[quick] an_order_with_a_number_like_a_status: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("order 503 has status 404 in ledger 429")) })
    };
    #[quick] a_film_that_does_not_resolve: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("there is no such host on the guest list")) })
    };
    #[quick] a_club_with_too_many_members: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("too many open files of applicants on the desk")) })
    };
    #[quick] an_error_of_no_known_sort: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(io::Error::other("the ledger does not balance").into()) })
    };
    #[quick] a_number_the_system_does_not_have: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(io::Error::from_raw_os_error(4_095).into()) })
    };
    a_refusal_after_one_input_while_others_pass: Decoy ["SW5003"] "", |lab: Lab| async move {
        let act = |_: stepwell::StepContext, input: String| async move {
            match input.as_str() {
                "theirs" => {
                    nap("300").await?;
                    Err(StepError::auth("this account belongs to somebody else"))
                }
                _ => Ok(input),
            }
        };
        let engine = lab.engine(lab.workflow(act)?).await?;
        let bad = engine.start_run("w", "bad", &"theirs").await.map_err(|error| error.to_string())?;
        for nth in 0..4 {
            let good = engine.start_run("w", &format!("good-{nth}"), &"ours").await;
            lab.comes_to_rest(&good.map_err(|error| error.to_string())?).await?;
        }
        lab.comes_to_rest(&bad).await?;
        lab.outcome(&engine, bad.key(), None).await
    };
    #[quick] a_shop_that_is_closed: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("the Kyoto shop is closed today").code("store.closed")) })
    };
    #[quick] a_tram_on_the_track_of_another: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::permanent("two runs meet at noon").code("run.conflict")) })
    };
    #[quick] a_herd_that_needs_to_move: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(StepError::bug("herd 7 is still in the north").code("needs_migration")) })
    };
    #[quick] an_approval_that_took_too_long: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(io::Error::new(io::ErrorKind::TimedOut, "nobody approved in 3 days").into()) })
    };
    #[quick] an_order_that_is_not_found: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(io::Error::new(io::ErrorKind::NotFound, "no order at /orders/7").into()) })
    };
    #[quick] a_voucher_that_exists_no_more: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async { Err(io::Error::new(io::ErrorKind::AlreadyExists, "the voucher was redeemed").into()) })
    };
    #[quick] a_customer_over_the_quota: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async {
            Err(io::Error::new(io::ErrorKind::QuotaExceeded, "customer 7 used its 100 invoices").into())
        })
    };
    a_setting_that_is_no_number: Decoy ["SW1101", "SW9001"] "", |lab: Lab| async move {
        // What is read looks the same wherever it comes from.
        let read = || async { Ok("many".parse::<u32>().note("POOL_SIZE")?.to_string()) };
        not_sure(lab.fails(read).await)
    };
    another_customers_token: Decoy ["SW5001", "SW5003"] "", |lab: Lab| async move {
        let act = |_: stepwell::StepContext, customer: String| async move {
            match customer.as_str() {
                "c" => Err(StepError::auth("the token is unknown")),
                _ => Ok(customer),
            }
        };
        // From here it looks as if the credentials of all had expired.
        not_sure(lab.plays(&["a", "b", "c"], act).await)
    };
    a_program_that_is_not_installed: Decoy ["SW3001", "SW9001"] "", |lab: Lab| async move {
        let renders = || async {
            let rendered = std::process::Command::new("stepwell-has-no-such-program").output();
            Ok(rendered.note("rendering /invoices/7")?.status.to_string())
        };
        not_sure(lab.fails(renders).await)
    };
    a_label_that_is_too_short: Decoy ["SW9001"] "", |lab: Lab| {
        lab.fails(|| async {
            let mut label = [0; 12];
            io::Read::read_exact(&mut &b"short"[..], &mut label).note("unpacking label for order:17")?;
            Ok(String::new())
        })
    };
    three_failures_that_differ_and_nothing_else: Decoy ["SW9001"] "", |lab: Lab| {
        lab.attempts(3).plays(&["in"], |ctx, _| async move { differs(ctx.attempt()) })
    };
};

/// What may be said, and not as proven.
fn not_sure(said: Result<Outcome, String>) -> Result<Outcome, String> {
    let said = said?;
    match &said.diagnosis {
        Some(diagnosis) if diagnosis.confidence == Confidence::High => {
            Err(format!("{} is said as proven", diagnosis.code))
        }
        _ => Ok(said),
    }
}

fn differs(attempt: u32) -> StepResult<String> {
    let what = ["the printer is offline", "the paper is damp", "the tray is open"];
    Err(StepError::transient(what[attempt as usize % 3]))
}

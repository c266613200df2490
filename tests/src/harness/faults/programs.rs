//! What other programs, drivers and services say when they fail: some are run here, of the others the words are told.

use std::process::{Command, Stdio};

use stepwell::{StepError, StepResult};

use crate::cases;
use crate::harness::faults::case::{Case, Outcome};
use crate::harness::faults::lab::Lab;
use crate::harness::faults::servers::refusing;

pub(super) const CASES: &[Case] = cases! {
    // Run for real.
    a_program_on_a_link_that_leads_nowhere: Wording ["SW3001"] "make_file", |lab: Lab| {
        runs(lab, "ln -s {folder}/gone {path}; head -1 {path}")
    };
    a_shell_that_may_not_run_a_script: Wording ["SW3003"] "grant_access", |lab: Lab| {
        runs(lab, "echo true > {folder}/run.sh; chmod 600 {folder}/run.sh; {folder}/run.sh")
    };
    a_shell_that_does_not_find_a_program: Wording ["SW3001"] "make_file", |lab: Lab| runs(lab, "stepwell-has-no-such-tool --help");
    a_program_without_the_right_to_make_a_folder: Wording ["SW3003"] "grant_access" in Nobody, |lab: Lab| {
        runs(lab, "mkdir /var/lib/reports")
    };
    a_program_that_makes_what_is_there: Wording ["SW1103"] "check_effect", |lab: Lab| runs(lab, "mkdir {folder}");
    a_program_on_a_file_that_was_cut_off: Wording ["SW1102"] "edit_input", |lab: Lab| {
        runs(lab, "seq 99999 | gzip > {path}; truncate -s 5000 {path}; gzip -dc < {path} > /dev/null; gzip -t {path}")
    };
    a_shell_that_lacks_a_variable: Wording ["SW3008"] "set_variable", |lab: Lab| runs(lab, "echo ${STEPWELL_NO_SUCH:?}");
    // Files.
    #[quick] a_missing_file_in_german: Wording ["SW3001"] "make_file", |lab: Lab| {
        says(lab, "exit status: 1: cat: {path}: Datei oder Verzeichnis nicht gefunden")
    };
    #[quick] a_missing_file_in_japanese: Wording ["SW3001"] "make_file", |lab: Lab| {
        says(lab, "cat: {path}: そのようなファイルやディレクトリはありません")
    };
    #[quick] dotnet_on_a_missing_folder: Wording ["SW3002"] "mend_path", |lab: Lab| {
        says(lab, "System.IO.DirectoryNotFoundException: Could not find a part of the path '{folder}/2026/11/in.csv'.")
    };
    #[quick] the_full_disk_of_another_machine: Wording ["SW3004"] "free_space", |lab: Lab| {
        says(lab, "failed to register layer: write /var/lib/stepwell-elsewhere/tmp/blob4: no space left on device")
    };
    #[quick] sqlite_that_may_only_read: Wording ["SW3005"] "remount", |lab: Lab| {
        says(lab, "saving <- attempt to write a readonly database <- Error code 8: Attempt to write a readonly database")
    };
    #[quick] postgres_that_may_only_read: Wording ["SW3005"] "remount", |lab: Lab| {
        says(lab, "saving <- db error: ERROR: cannot execute INSERT in a read-only transaction")
    };
    // Data and settings.
    #[quick] toml_at_a_place: Wording ["SW1102"] "edit_input", |lab: Lab| {
        says(lab, "reading limits <- TOML parse error at line 4, column 11\n  |\n4 | retries = \"three\"\n  |   ^^^\ninvalid type: string")
    };
    #[quick] python_on_bad_json: Wording ["SW1102"] "edit_input", |lab: Lab| {
        says(lab, "json.decoder.JSONDecodeError: Expecting ',' delimiter: line 212 column 5 (char 9134)")
    };
    #[quick] a_message_of_another_form: Wording ["SW1102"] "edit_input", |lab: Lab| {
        says(lab, "consuming <- failed to decode Protobuf message: Order.lines: invalid wire type: Varint (expected LengthDelimited)")
    };
    #[quick] a_check_of_the_database: Wording ["SW1101"] "edit_input", |lab: Lab| {
        says(lab, "error returned from database: new row for relation \"lines\" violates check constraint \"qty_positive\"")
    };
    #[quick] an_answer_that_refuses_the_value: Wording ["SW1101"] "edit_input", |lab: Lab| {
        says(lab, "422 Unprocessable Entity: {\"detail\":[{\"loc\":[\"body\",\"qty\"],\"msg\":\"is not above 0\"}]}")
    };
    #[quick] kubernetes_on_a_duplicate: Wording ["SW1103"] "check_effect", |lab: Lab| {
        says(lab, "Error from server (AlreadyExists): error when creating \"web.yaml\": deployments.apps \"web\" already exists")
    };
    #[quick] a_setting_that_a_reader_misses: Wording ["SW3008"] "set_variable", |lab: Lab| {
        says(lab, "loading settings <- missing configuration field \"smtp.host\"")
    };
    // Network.
    #[quick] psql_on_a_refused_port: Wording ["SW4001"] "start_dependency", |lab: Lab| {
        says(lab, "connection to server at \"{host}\", port {port} failed: Connection refused\n\tIs the server running on that host?")
    };
    #[quick] curl_on_a_refused_port: Wording ["SW4001"] "start_dependency", |lab: Lab| {
        says(lab, "curl: (7) Failed to connect to {host} port {port} after 0 ms: Couldn't connect to server")
    };
    #[quick] jdbc_on_a_refused_port: Wording ["SW4001"] "start_dependency", |lab: Lab| {
        says(lab, "org.postgresql.util.PSQLException: Connection to {host}:{port} refused. Check that the hostname is correct.")
    };
    #[quick] mysql_that_lost_its_server: Wording ["SW4002"] "look_at_dependency", |lab: Lab| {
        says(lab, "(2013, 'Lost connection to MySQL server during query')")
    };
    #[quick] curl_without_a_reply: Wording ["SW4002"] "look_at_dependency", |lab: Lab| {
        says(lab, "exit status: 52: curl: (52) Empty reply from server")
    };
    #[quick] a_certificate_of_another_name: Wording ["SW4004"] "renew_certificate", |lab: Lab| {
        says(lab, "Hostname/IP does not match certificate's altnames: Host: mq.example. is not in the cert's altnames: DNS:*.old.example")
    };
    #[quick] curl_that_waited_in_vain: Wording ["SW4008"] "raise_call_timeout", |lab: Lab| {
        says(lab, "exit status: 28: curl: (28) Operation timed out after 400 milliseconds with 0 bytes received")
    };
    #[quick] s3_that_wants_it_slower: Wording ["SW4006"] "lower_pace", |lab: Lab| {
        says(lab, "503 Service Unavailable: <Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
    };
    #[quick] google_that_wants_it_slower: Wording ["SW4006"] "lower_pace", |lab: Lab| {
        says(lab, "HTTP 403: {\"error\":{\"code\":403,\"errors\":[{\"reason\":\"userRateLimitExceeded\"}]}}")
    };
    #[quick] a_mail_server_that_wants_it_slower: Wording ["SW4006"] "lower_pace", |lab: Lab| {
        says(lab, "transient error (421): 4.7.0 Too many messages from this sender")
    };
    // Login.
    #[quick] a_mail_server_that_lets_nobody_in: Wording ["SW5002", "SW5003"] "set_credentials", |lab: Lab| {
        says(lab, "permanent error (535): 5.7.8 Error: authentication failed")
    };
    #[quick] ssh_without_a_key: Wording ["SW5002", "SW5003"] "set_credentials", |lab: Lab| {
        says(lab, "exit status: 255: deploy@files.example: Permission denied (publickey).")
    };
    #[quick] a_table_that_is_not_for_this_user: Wording ["SW5002", "SW5003"] "set_credentials", |lab: Lab| {
        says(lab, "db error: ERROR: permission denied for table invoices")
    };
    #[quick] a_token_that_is_too_old: Wording ["SW5003"] "renew_credentials", |lab: Lab| {
        says(lab, "An error occurred (ExpiredToken) when calling the ListBuckets operation: The provided token has expired.")
    };
    // They only sound so.
    #[quick] a_warning_before_the_error: Decoy ["SW9001"] "", |lab: Lab| {
        says(lab, "warning: {path}: No such file or directory, using defaults\nFATAL: seat limit of 5 reached")
    };
    #[quick] a_host_family: Decoy ["SW9001"] "", |lab: Lab| says(lab, "could not resolve host family for student 12");
    #[quick] a_ferry_from_a_port: Decoy ["SW9001"] "", |lab: Lab| says(lab, "connection to Oslo from port 7 failed: the ferry stays");
    #[quick] wines_with_their_years: Decoy ["SW9001"] "", |lab: Lab| says(lab, "no price for (2006, 'Bordeaux') nor for (2013, 'Rioja')");
    #[quick] a_shop_that_is_only_named: Decoy ["SW9001"] "", |lab: Lab| {
        says(lab, "the order of http://{host}:{port}/ was declined: the customer's credit is used up")
    };
    #[quick] a_setting_named_like_an_error: Decoy ["SW9001"] "", |lab: Lab| says(lab, "read_timeout of tariff 5 must be above connect_timeout");
};

/// A text with what it names in this lab put in.
fn filled(lab: &Lab, text: &str) -> Result<String, String> {
    let at = refusing()?;
    let names = [
        ("{path}", lab.path("orders.csv")),
        ("{folder}", lab.folder().display().to_string()),
        ("{host}", at.ip().to_string()),
        ("{port}", at.port().to_string()),
    ];
    Ok(names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value)))
}

/// A step that fails with an error of which only the texts are known, the outermost first.
async fn says(lab: Lab, text: &str) -> Result<Outcome, String> {
    let text = filled(&lab, text)?;
    lab.fails(move || {
        let told = Told::of(&text);
        async move { Err(told.into()) }
    })
    .await
}

/// A step that runs a shell and passes on what it says.
async fn runs(lab: Lab, script: &str) -> Result<Outcome, String> {
    let script = filled(&lab, script)?;
    lab.fails(move || {
        let script = script.clone();
        async move { tokio::task::spawn_blocking(move || shell(&script)).await? }
    })
    .await
}

fn shell(script: &str) -> StepResult<String> {
    let mut bash = Command::new("bash");
    let done = bash.args(["-c", script]).env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).output()?;
    let told = String::from_utf8_lossy(&done.stderr);
    match done.status.success() {
        true => Ok(String::new()),
        false => {
            Err(StepError::from(anyhow::anyhow!("the helper failed ({}): {}", done.status, told.trim())))
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Told {
    text: String,
    source: Option<Box<Told>>,
}

impl Told {
    /// The texts between `<-`, each the cause of the one before.
    fn of(texts: &str) -> Self {
        match texts.split_once(" <- ") {
            Some((text, rest)) => Self { text: text.to_owned(), source: Some(Box::new(Self::of(rest))) },
            None => Self { text: texts.to_owned(), source: None },
        }
    }
}

//! A window of a real browser, and the driver that steers it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// How long something may take to come about in the browser.
const SOON: Duration = Duration::from_secs(20);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(50);
/// One window at a time: browsers need more of the machine than tests do otherwise.
static ONE: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

/// A window. Close it, so that it is looked whether the browser had complaints.
#[derive(Debug)]
pub struct Window {
    pub client: Client,
    address: String,
    driver: Child,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Everything that the browser has said on its console since it was last asked.
#[derive(Debug)]
struct Console;

impl WebDriverCompatibleCommand for Console {
    fn endpoint(&self, base_url: &url::Url, session_id: Option<&str>) -> Result<url::Url, url::ParseError> {
        base_url.join(&format!("session/{}/se/log", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

impl Window {
    /// A window of that size, in light or dark colours, with nothing kept from any other.
    pub async fn open(address: &str, (width, height): (u32, u32), is_dark: bool) -> Self {
        let turn = ONE.lock().await;
        let (driver, port) = drive();
        let profile = TempDir::new().expect("a folder for the profile");
        let mut args = vec![
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--lang=en".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if is_dark {
            args.push("--force-dark-mode".to_owned());
            args.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        // The window of a headless browser has a least width: a narrow one is a phone's screen.
        let mut options = json!({ "args": args });
        if width < 500 {
            options["mobileEmulation"] =
                json!({ "deviceMetrics": { "width": width, "height": height, "pixelRatio": 1.0 } });
        }
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let wanted = wanted.as_object().expect("an object").clone();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(wanted).connect(&format!("http://127.0.0.1:{port}")).await;
        let client = client.expect("a session of the browser: are chromium and chromium-driver installed?");
        Self { client, address: address.to_owned(), driver, _profile: profile, _turn: turn }
    }

    /// A window on a desk.
    pub async fn on_desk(address: &str) -> Self {
        Self::open(address, (1280, 900), false).await
    }

    /// Goes to a page of the server.
    pub async fn go(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.address)).await.expect("a page");
    }

    /// Runs a script in the page and gives what it returns.
    pub async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until a script gives `true`. While one page goes and the next comes a script may find nothing to look at: that is
    /// no more than "not yet".
    pub async fn until(&self, what: &str, script: &str) {
        let (script, since) = (format!("return Boolean({script})"), Instant::now());
        loop {
            let said = self.client.execute(&script, Vec::new()).await;
            if matches!(said, Ok(Value::Bool(true))) {
                return;
            }
            if since.elapsed() > SOON {
                let text = self.script("return [location.href, document.body?.innerText]").await;
                panic!("does not come about: {what} ({said:?}); the page says {text}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the main part of the page says so.
    pub async fn until_it_says(&self, text: &str) {
        let text = serde_json::to_string(text).expect("text");
        self.until(&text, &format!("document.querySelector('main').innerText.includes({text})")).await;
    }

    /// Clicks what a selector finds, once it is there.
    pub async fn click(&self, selector: &str) {
        self.once_there(selector, async |found| found.click().await).await;
    }

    /// Types into a field.
    pub async fn fill(&self, selector: &str, text: &str) {
        let type_in = async |field: Element| {
            field.clear().await?;
            field.send_keys(text).await
        };
        self.once_there(selector, type_in).await;
    }

    /// Does something with what a selector finds. A live page may put another in its place before it is hit: then with that.
    async fn once_there(&self, selector: &str, act: impl AsyncFn(Element) -> Result<(), CmdError>) {
        let since = Instant::now();
        loop {
            let done = match self.client.find(Locator::Css(selector)).await {
                Ok(found) => act(found).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => return,
                Err(error) if since.elapsed() > SOON => panic!("{selector}: {error}"),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Presses keys wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("keys");
    }

    /// What the browser complained of since this was last asked: errors of scripts, and what the content policy refused.
    pub async fn complaints(&self) -> Vec<String> {
        let said = self.client.issue_cmd(Console).await.expect("the log of the console");
        let said = said.as_array().cloned().unwrap_or_default();
        let bad = said.iter().filter(|line| matches!(line["level"].as_str(), Some("SEVERE" | "WARNING")));
        bad.map(|line| line["message"].to_string()).collect()
    }

    /// Closes the window; the browser must have had no complaints.
    pub async fn close(mut self) {
        assert_eq!(self.complaints().await, Vec::<String>::new());
        self.client.clone().close().await.expect("the session ends");
        self.stop();
    }

    fn stop(&mut self) {
        // It may have gone by itself; a test that fails leaves no driver behind either way.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts a driver on a free port, and says which.
// The window waits for it when it is closed or dropped.
#[allow(clippy::zombie_processes)]
fn drive() -> (Child, u16) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver starts: install chromium and chromium-driver, as scripts/test does");
    let mut lines = BufReader::new(driver.stdout.take().expect("its output"));
    let mut line = String::new();
    loop {
        line.clear();
        assert!(lines.read_line(&mut line).expect("a line") > 0, "chromedriver ended before it listened");
        if let Some((_, rest)) = line.split_once("successfully on port ") {
            let port = rest.trim().trim_end_matches('.').parse().expect("a port");
            // What it says later must not fill the pipe.
            std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
            return (driver, port);
        }
    }
}

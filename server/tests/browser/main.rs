//! The dashboard in a real browser: what people do there, and that the browser has nothing to complain of.
#![allow(unreachable_pub)]

mod site;
mod window;

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use site::Site;
use stepwell::contract::{RunId, RunKey, TenantId};
use window::Window;

const PAGES: [&str; 10] = [
    "/",
    "/runs",
    "/groups",
    "/workers",
    "/queues",
    "/schedules",
    "/audit",
    "/settings",
    "/codes",
    "/codes/SW1203",
];
const TABS: [&str; 7] = ["", "/graph", "/steps", "/timeline", "/logs", "/data", "/audit"];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_starts_appears_in_the_list_and_moves_without_a_reload() {
    let site = Site::new().await;
    let window = Window::on_desk(&site.address).await;
    window.go("/runs").await;
    window.until_it_says("stepwell runs start").await;
    window.until("nothing to select", "!document.querySelector('.bar').checkVisibility()").await;
    window.script("window.mark = 'the same page'").await;
    site.start("parcel", "parcel-1", 1).await;
    window.until_it_says("parcel-1").await;
    window.until("something to select", "document.querySelector('.bar').checkVisibility()").await;
    window.until_it_says("running").await;
    site.world.gate.add_permits(1);
    window.until_it_says("succeeded").await;
    assert_eq!(window.script("return window.mark").await, "the same page");
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_is_read_mended_and_tried_again_from_its_page() {
    let site = Site::new().await;
    site.world.is_up.store(false, Ordering::Release);
    site.run("order", "order-1", &json!({ "pieces": 1 })).await;
    let window = Window::on_desk(&site.address).await;
    window.go("/runs?q=is:stuck").await;
    window.click("#runs a.id").await;
    window.until_it_says("pay.invalid:443").await;
    window
        .until(
            "the card stands above the rest",
            "document.querySelector('#run-tab > section').matches('.diagnosis')",
        )
        .await;
    site.world.is_up.store(true, Ordering::Release);
    window.click(".verbs a[href*='/ask/retry']").await;
    window.until_it_says("charge").await;
    window.fill("#reason", "the gateway is back").await;
    window.click("[data-dialog-content] form button[type=submit]").await;
    window.until_it_says("succeeded").await;
    window.go("/runs/order-1/audit").await;
    window.until_it_says("the gateway is back").await;
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_is_approved_from_its_page() {
    let site = Site::new().await;
    site.start("approval", "approval-1", 1).await;
    let window = Window::on_desk(&site.address).await;
    window.go("/runs/approval-1").await;
    window.until("the form is there", "document.querySelector('.signal textarea') !== null").await;
    window.fill(".signal textarea", "{\"by\": \"ann\"}").await;
    window.click(".signal button[type=submit]").await;
    window.until_it_says("succeeded").await;
    window.go("/runs/approval-1/data").await;
    window.until_it_says("ann").await;
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_group_is_tried_again_as_a_whole_after_a_preview() {
    let site = Site::new().await;
    site.world.is_up.store(false, Ordering::Release);
    for nth in 0..3 {
        site.run("order", &format!("order-{nth}"), &json!({ "pieces": 1 })).await;
    }
    let window = Window::on_desk(&site.address).await;
    window.go("/groups").await;
    window.until_it_says("pay.invalid:443").await;
    window.click("main a[href*='/groups/']").await;
    window.until("all three", "document.querySelectorAll('main [data-row]').length === 3").await;
    site.world.is_up.store(true, Ordering::Release);
    window.click("main button[name=verb][value=retry]").await;
    window.fill("#reason", "the gateway is back").await;
    window.click("main form button.primary[type=submit]").await;
    window.until_it_says("3 done, 0 refused").await;
    window.go("/runs?q=status:succeeded").await;
    window.until("all three", "document.querySelectorAll('#runs [data-row]').length === 3").await;
    for nth in 0..3 {
        let key = RunKey::new(TenantId::default(), RunId::new(format!("order-{nth}")).expect("an id"));
        let run = site.engine.find(&key).await.expect("the run");
        run.result::<Value>().await.expect("it went on");
    }
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_line_by_line() {
    let site = Site::new().await;
    site.start("parcel", "parcel-1", 2).await;
    let window = Window::on_desk(&site.address).await;
    window.go("/runs/parcel-1/logs").await;
    window.until_it_says("an order:").await;
    site.world.gate.add_permits(2);
    window.until_it_says("piece 2 is packed").await;
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_search_go_through_rows_and_switch_what_can_be_switched() {
    let site = Site::new().await;
    for nth in 0..3 {
        site.run("order", &format!("order-{nth}"), &json!({ "pieces": 1 })).await;
    }
    let window = Window::on_desk(&site.address).await;
    window.go("/runs").await;
    window.press("/").await;
    window.until("the query has the focus", "document.activeElement.id === 'q'").await;
    window.press("\u{e00c}").await;
    window.until("it has not any more", "document.activeElement.id !== 'q'").await;
    window.press("?").await;
    window.until("the keys are shown", "document.querySelector('#keys').open").await;
    window.press("\u{e00c}").await;
    window.until("they are not any more", "!document.querySelector('#keys').open").await;
    window.press("j").await;
    window.until("the first row has the focus", "document.activeElement.textContent === 'order-2'").await;
    window.press("j").await;
    window.until("the second has", "document.activeElement.textContent === 'order-1'").await;
    window.press("k").await;
    window.until("the first again", "document.activeElement.textContent === 'order-2'").await;
    let theme = window.script("return document.documentElement.dataset.theme").await;
    window.press("t").await;
    window.until("the colours change", &format!("document.documentElement.dataset.theme !== {theme}")).await;
    window.press("r").await;
    window
        .until("it is not live", "document.querySelector('#live').getAttribute('aria-pressed') === 'false'")
        .await;
    window.press("gg").await;
    window.close().await;
}

/// Every page, with something on it.
async fn filled(site: &Site) -> Vec<String> {
    site.world.is_up.store(false, Ordering::Release);
    site.run("order", "held-1", &json!({ "pieces": 1 })).await;
    site.run("order", "refused-1", &json!({ "pieces": 0 })).await;
    site.start("parcel", "parcel-1", 2).await;
    site.start("approval", "approval-1", 1).await;
    let tabs = TABS.iter().flat_map(|tab| ["held-1", "parcel-1"].map(|run| format!("/runs/{run}{tab}")));
    let others =
        ["/runs/approval-1", "/runs/held-1/ask/retry", "/runs/held-1/fork", "/start", "/schedules/new"]
            .map(str::to_owned);
    PAGES.iter().map(|page| (*page).to_owned()).chain(tabs).chain(others).collect()
}

/// Text that does not stand out enough from what is behind it, by the contrast that WCAG 2 asks for at level AA.
const FAINT: &str = r"
const numbers = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const over = (above, below) => { const a = above[3] ?? 1; return above.slice(0, 3).map((c, i) => c * a + below[i] * (1 - a)); };
const behind = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(numbers(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((below, above) => above.length ? over(above, below) : below, [255, 255, 255]);
};
const faint = new Set();
for (const element of document.querySelectorAll('body *')) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const box = element.getBoundingClientRect();
  if (!own || box.width === 0 || box.height === 0 || element.closest('svg, [hidden], .unseen, .skip, dialog:not([open]), [disabled], [aria-disabled=true], option')) continue;
  const style = getComputedStyle(element);
  if (style.visibility === 'hidden') continue;
  const back = behind(element);
  const [one, other] = [light(over(numbers(style.color), back)), light(back)].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const contrast = (one + 0.05) / (other + 0.05);
  if (contrast < (isLarge ? 3 : 4.5)) faint.add(`${element.tagName}.${element.className}: ${contrast.toFixed(2)} ${element.textContent.trim().slice(0, 30)}`);
}
return [...faint];
";

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_read_in_light_and_dark_and_the_browser_has_no_complaints() {
    let site = Site::new().await;
    let pages = filled(&site).await;
    for is_dark in [false, true] {
        let window = Window::open(&site.address, (1280, 900), is_dark).await;
        for page in &pages {
            let theme = if is_dark { "dark" } else { "light" };
            let mark = if page.contains('?') { '&' } else { '?' };
            window.go(&format!("{page}{mark}theme={theme}")).await;
            let back =
                window.script("return getComputedStyle(document.documentElement).backgroundColor").await;
            let first: u32 = back
                .as_str()
                .and_then(|rgb| rgb.split(['(', ',']).nth(1)?.trim().parse().ok())
                .expect("a colour");
            assert_eq!(first < 128, is_dark, "{page}: {back}");
            assert_eq!(window.script(FAINT).await, json!([]), "{page}, {theme}");
            assert_eq!(window.complaints().await, Vec::<String>::new(), "{page}");
        }
        window.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_wider_than_a_phone() {
    let site = Site::new().await;
    let pages = filled(&site).await;
    let window = Window::open(&site.address, (390, 844), false).await;
    for page in &pages {
        window.go(page).await;
        let widths = window.script("return [document.documentElement.scrollWidth, innerWidth]").await;
        assert!(widths[0].as_f64() <= widths[1].as_f64(), "{page}: {widths}");
    }
    window.close().await;
}

/// Texts that do something where they are taken for code, alone and in combination with where they may stand.
fn hostile() -> Vec<String> {
    let deeds = [
        "hit()",
        "window.hit()",
        "top.hit()",
        "eval('hit()')",
        "setTimeout('hit()')",
        "fetch('/x').then(hit)",
    ];
    let forms = [
        "<script>{}</script>",
        "<img src=x onerror={}>",
        "\"><svg onload={}>",
        "'\"><body onpageshow={}>",
        "<details open ontoggle={}>",
        "<a href=\"javascript:{}\">x</a>",
        "</textarea><script>{}</script>",
        "</title><script>{}</script>",
        "--><script>{}</script>",
        "<iframe srcdoc=\"<script>parent.{}</script>\">",
        "<math><mtext></form><form><mglyph><style></math><img src onerror={}>",
        "{{constructor.constructor('{}')()}}",
    ];
    forms.iter().flat_map(|form| deeds.map(|deed| form.replace("{}", deed))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_is_shown_and_never_done() {
    let site = Site::new().await;
    let texts = hostile();
    assert!(texts.len() >= 60, "{} texts", texts.len());
    for (nth, text) in texts.iter().enumerate() {
        let input = json!({ "pieces": text, text.as_str(): [text] });
        let run = stepwell::StartRun::new("order", &format!("bad-{nth}"), &input).expect("an input");
        let run = run.tag("from", text.as_str()).expect("a tag");
        let run = site.engine.start_with(run).await.expect("started");
        // It is refused by its first step, in words that hold the input.
        let _ = run.result::<Value>().await;
    }
    let window = Window::on_desk(&site.address).await;
    let tell =
        "addEventListener('error', () => {}); window.hits ??= 0; window.hit = () => { window.hits += 1; }";
    let mut shown = 0;
    for (nth, text) in texts.iter().enumerate() {
        for tab in ["", "/data", "/audit"] {
            window.go(&format!("/runs/bad-{nth}{tab}")).await;
            window.script(tell).await;
            shown += 1;
            assert_eq!(window.script("return window.hits").await, 0, "{text} on {tab}");
            let foreign = "return document.querySelectorAll('main script, main iframe, main math, main img, [onload], [onerror], [ontoggle], a[href^=\"javascript\"]').length";
            assert_eq!(window.script(foreign).await, 0, "{text} on {tab}");
        }
    }
    for page in ["/", "/runs", "/groups", "/audit", "/runs?q=%3Cscript%3Ehit()%3C/script%3E"] {
        window.go(page).await;
        assert_eq!(window.script("return window.hits ?? 0").await, 0, "{page}");
    }
    println!("HARNESS browser texts={} pages={shown} hits=0", texts.len());
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_and_a_schedule_made_from_the_page() {
    let site = Site::new().await;
    let window = Window::on_desk(&site.address).await;
    window.go("/runs").await;
    window.click(".top a[href*='/start']").await;
    window.click("a.chip[href*='workflow=approval']").await;
    window.until("it is chosen", "location.search.includes('workflow=approval')").await;
    window.fill("#input", "{\"pieces\": ").await;
    window.click("form button.primary").await;
    window.until("the fault stands at its field", "document.querySelector('#input-error') !== null").await;
    // The browser tells of every refused request; it has nothing else to say.
    let said = window.complaints().await;
    assert!(said.iter().all(|line| line.contains("422")), "{said:?}");
    window.fill("#input", "{\"pieces\": 3}").await;
    window.click("form button[name=check]").await;
    window.until_it_says("a run of approval version 1").await;
    window.click("form button.primary").await;
    window.until("its page is there", "location.pathname.startsWith('/runs/')").await;
    window.until_it_says("was started").await;
    window.until_it_says("waiting").await;

    window.go("/schedules").await;
    window.click(".top a[href*='/schedules/new']").await;
    window.fill("#name", "nightly").await;
    window.fill("#workflow", "approval").await;
    window.fill("#cron", "0 2 * * *").await;
    window.fill("#timezone", "Asia/Tokyo").await;
    window.click("form button[name=check]").await;
    window.until_it_says("T17:00:00").await;
    window.click("form button.primary").await;
    window.until_it_says("Schedule nightly was made").await;
    window.until_it_says("0 2 * * * · Asia/Tokyo").await;
    window.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_selected_in_the_list_or_all_that_match_over_its_pages() {
    let site = Site::new().await;
    for nth in 0..60 {
        site.start("approval", &format!("approval-{nth:02}"), 1).await;
    }
    let window = Window::on_desk(&site.address).await;
    window.go("/runs?q=status:waiting").await;
    window.until("a page of them", "document.querySelectorAll('#runs [data-row]').length === 50").await;
    for run in ["approval-59", "approval-57"] {
        window.click(&format!("#runs input[value='default/{run}']")).await;
    }
    window.until("both are counted", "document.querySelector('[data-selected]').textContent === '2'").await;
    window.click("button[name=verb][value=pause]").await;
    window.until_it_says("approval-57").await;
    window.fill("#reason", "two of them").await;
    window.click("main form button[type=submit]").await;
    window.until_it_says("2 done, 0 refused").await;
    window.go("/runs?q=status:paused").await;
    window.until("these two", "document.querySelectorAll('#runs [data-row]').length === 2").await;

    window.go("/runs?q=status:waiting").await;
    window.script("document.querySelector('#scope').value = 'all'").await;
    window.click("button[name=verb][value=pause]").await;
    window.fill("#reason", "all the others").await;
    window.click("main form button[type=submit]").await;
    window.until_it_says("58 done, 0 refused").await;
    window.go("/runs?q=status:paused").await;
    window.until("all of them", "[...document.querySelectorAll('.tabs a[aria-current] .count')].some((count) => count.textContent === '60')").await;
    window.close().await;
}

/// Words of the frame and of what is pressed or read above columns that are no Japanese: what people and programs name stays as it
/// is and is not looked at.
const NOT_JAPANESE: &str = r"
const own = 'nav a, .who .tool[aria-label], h1, h2, h3, th, label, .tabs a, button, .button, dt, legend, summary, .empty p, .muted:not(code)';
const named = /^(Stepwell|English|CPU|ID|p50|p95|95 %|cron|REST|OpenAPI|JSON|[A-Z0-9-]+)$/;
const found = new Set();
for (const element of document.querySelectorAll(own)) {
  if (element.closest('[hidden], dialog:not([open]), .id, code, .json, .code') || element.querySelector('.mono, .id, code, .chip, time, input, select')) continue;
  const text = element.innerText?.trim();
  if (!text || !/[A-Za-z]{3}/.test(text) || /[\u3040-\u30ff\u4e00-\u9fff]/.test(text) || named.test(text)) continue;
  if (element.dataset.name !== undefined || element.closest('[data-row]')) continue;
  found.add(`${element.tagName}: ${text.slice(0, 60)}`);
}
return [...found];
";

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_switched_once_and_every_page_keeps_to_it() {
    let site = Site::new().await;
    let pages = filled(&site).await;
    let window = Window::on_desk(&site.address).await;
    window.go("/runs").await;
    window.click("a.tool[hreflang=ja]").await;
    window.until("the page is Japanese", "document.documentElement.lang === 'ja'").await;
    let mut english = Vec::new();
    for page in &pages {
        window.go(page).await;
        assert_eq!(window.script("return document.documentElement.lang").await, "ja", "{page}");
        let found = window.script(NOT_JAPANESE).await;
        english.extend((found != json!([])).then(|| format!("{page}: {found}")));
    }
    assert_eq!(english, Vec::<String>::new());
    window.go("/runs/approval-1").await;
    window.until_it_says("シグナル").await;
    window.click("a.tool[hreflang=en]").await;
    window.until("it is English again", "document.documentElement.lang === 'en'").await;
    window.close().await;
}

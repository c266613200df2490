//! Reads the markup of a page tag by tag, and says what is not as it should be: what a page may have is listed, all else is a
//! fault.

// Each test file is a program of its own and uses a part of this.
#![allow(dead_code, unreachable_pub)]

/// A tag with its attributes.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

const TAGS: &[&str] = &[
    "!doctype", "html", "head", "meta", "title", "link", "script", "body", "a", "header", "nav", "ul", "li",
    "svg", "use", "span", "div", "p", "button", "form", "main", "dialog", "h1", "h2", "h3", "dl", "dt", "dd",
    "kbd", "section", "aside", "code", "table", "thead", "tbody", "tr", "th", "td", "label", "input",
    "select", "option", "textarea", "progress", "time", "b", "line", "rect", "text", "details", "summary",
    "pre", "ol", "datalist", "strong", "defs", "marker", "path", "polyline", "g", "abbr",
];
const ATTRIBUTES: &[&str] = &[
    "lang",
    "charset",
    "name",
    "content",
    "rel",
    "type",
    "href",
    "src",
    "defer",
    "class",
    "id",
    "tabindex",
    "width",
    "height",
    "viewbox",
    "x",
    "y",
    "x1",
    "x2",
    "y1",
    "y2",
    "rx",
    "text-anchor",
    "role",
    "title",
    "hidden",
    "method",
    "action",
    "value",
    "placeholder",
    "autocomplete",
    "autocapitalize",
    "autofocus",
    "spellcheck",
    "maxlength",
    "required",
    "disabled",
    "for",
    "scope",
    "datetime",
    "hreflang",
    "max",
    "min",
    "selected",
    "html",
    "checked",
    "d",
    "download",
    "inputmode",
    "list",
    "marker-end",
    "markerheight",
    "markerwidth",
    "open",
    "orient",
    "pattern",
    "points",
    "preserveaspectratio",
    "refx",
    "refy",
    "rows",
];
/// Attributes that name an address.
const ADDRESSES: &[&str] = &["href", "src", "action"];

/// The tags of a page, in order.
pub(crate) fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if rest.starts_with('/') {
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == '>').expect("a tag that ends");
        let name = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix("/>").or_else(|| rest.strip_prefix('>')) {
                rest = after;
                break;
            }
            let end = rest
                .find(|c: char| c.is_whitespace() || c == '=' || c == '>')
                .expect("an attribute that ends");
            assert!(end > 0, "an attribute without a name in <{name}: {}", &rest[..rest.len().min(60)]);
            let attribute = rest[..end].to_ascii_lowercase();
            rest = &rest[end..];
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                let quote = after.chars().next().filter(|c| matches!(c, '"' | '\'')).expect("a quoted value");
                let close = after[1..].find(quote).expect("a closing quote");
                value = &after[1..=close];
                rest = &after[close + 2..];
            }
            attributes.push((attribute, value.to_owned()));
        }
        tags.push(Tag { name, attributes });
    }
    tags
}

/// Fails unless every tag and attribute is one that pages have, nothing is inline, and every address is below the prefix.
pub(crate) fn check(page: &str, prefix: &str, what: &str) {
    for tag in tags(page) {
        assert!(TAGS.contains(&tag.name.as_str()), "{what}: a tag <{}>", tag.name);
        for (name, value) in &tag.attributes {
            let is_known = ATTRIBUTES.contains(&name.as_str())
                || name
                    .strip_prefix("data-")
                    .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
                || name.starts_with("aria-");
            assert!(is_known, "{what}: an attribute {name} of <{}>", tag.name);
            if ADDRESSES.contains(&name.as_str()) {
                let rest = value.strip_prefix(prefix).unwrap_or("elsewhere");
                let is_below = rest.starts_with('/')
                    || (!prefix.is_empty() && (rest.is_empty() || rest.starts_with('?')));
                let is_own = is_below || value.starts_with('#');
                assert!(is_own && !value.starts_with("//"), "{what}: {name}={value:?} of <{}>", tag.name);
            }
        }
        let has = |name: &str| tag.attributes.iter().any(|(found, _)| found == name);
        assert!(tag.name != "script" || has("src"), "{what}: a script in the page");
    }
}

/// Texts that would do harm if they came out as markup, each with `harm` in it.
pub(crate) fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "<script>harm()</script>",
        "</script><script>harm()</script>",
        "<img src=x onerror=harm()>",
        "<svg/onload=harm()>",
        "\"><script>harm()</script>",
        "'><img src=x onerror=harm()>",
        "\" onmouseover=\"harm()",
        "' onfocus='harm()' autofocus='",
        "javascript:harm()",
        "JaVaScRiPt:harm()",
        "data:text/html,<script>harm()</script>",
        "<a href=javascript:harm()>x</a>",
        "<iframe srcdoc='<script>harm()</script>'>",
        "<object data=harm>",
        "<embed src=harm>",
        "<base href=//harm.example>",
        "<meta http-equiv=refresh content='0;url=//harm.example'>",
        "<link rel=stylesheet href=//harm.example>",
        "<style>@import '//harm.example'</style>",
        "<form action=//harm.example><input type=submit>",
        "<math><mtext><script>harm()",
        "<details open ontoggle=harm()>",
        "<video><source onerror=harm()>",
        "<body onload=harm()>",
        "<!--harm--><script>harm()",
        "--><script>harm()</script>",
        "]]><script>harm()</script>",
        "</title><script>harm()</script>",
        "</textarea><script>harm()",
        "</option></select><script>harm()",
        "</style><script>harm()",
        "</dialog><script>harm()",
        "</svg><script>harm()",
        "<template><script>harm()</script></template>",
        "<noscript><img src=x onerror=harm()>",
        "<x onclick=harm()>click",
        "<input autofocus onfocus=harm()>",
        "<marquee onstart=harm()>",
        "<keygen autofocus onfocus=harm()>",
        "<isindex action=harm>",
        "&lt;script&gt;harm()&lt;/script&gt;",
        "&#60;script&#62;harm()",
        "&#x3c;script>harm()",
        "%3Cscript%3Eharm()%3C/script%3E",
        "\\x3cscript\\x3eharm()",
        "\\u003cscript\\u003eharm()",
        "{{harm}}",
        "{% harm %}",
        "${harm()}",
        "`harm()`",
        "harm\r\nSet-Cookie: harm=1",
        "harm\u{202e}txt.exe",
        "harm\u{feff}<script>",
        "\u{ff1c}script\u{ff1e}harm()",
        "<scr<script>ipt>harm()",
        "<SCRIPT SRC=//harm.example>",
        "hx-get=\"/harm\"",
        "<div hx-get=/harm hx-trigger=load>",
        "<div data-hx-on:load=harm()>",
        "<button formaction=javascript:harm()>",
        "\" data-copy=\"harm",
        "\" style=\"background:url(//harm.example)",
        "' OR 1=1; -- harm",
        "../../harm",
        "harm\t<b>bold</b>",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push(format!("{}<script>harm()</script>", "a".repeat(300)));
    texts
}

/// The value of a hidden field.
pub fn field(page: &str, name: &str) -> String {
    let tag =
        tags(page).into_iter().find(|tag| tag.attributes.contains(&("name".to_owned(), name.to_owned())));
    let value = tag.and_then(|tag| tag.attributes.into_iter().find(|(name, _)| name == "value"));
    value.map(|(_, value)| value).unwrap_or_else(|| panic!("no field {name}: {page}"))
}

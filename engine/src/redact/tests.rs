use super::*;

/// What is given, and what is shown of it.
const SECRETS: &[(&str, &str)] = &[
    ("login failed: password=hunter2, user=ada", "login failed: password=[redacted], user=ada"),
    (r#"{"client_secret": "s p a c e", "n": 1}"#, r#"{"client_secret": "[redacted]", "n": 1}"#),
    (r#"{\"api_key\":\"abc\"}"#, r#"{\"api_key\":\"[redacted]\"}"#),
    (r#"{\"password\":\"a\\\"b\",\"n\":1}"#, r#"{\"password\":\"[redacted]\",\"n\":1}"#),
    ("GET /?token=abc&page=2 gave 401", "GET /?token=[redacted]&page=2 gave 401"),
    ("Authorization: Bearer abc.def.ghi\nHost: x", "Authorization: [redacted]\nHost: x"),
    ("curl -H 'Authorization: Basic x' https://db/", "curl -H 'Authorization: [redacted]' https://db/"),
    ("Cookie: a=\"b\"; c=d\nHost: x", "Cookie: [redacted]\nHost: x"),
    ("sent `Bearer a1b2c3d4e5`", "sent `Bearer [redacted]`"),
    ("sent Basic dXNlcjpwYXNz to it", "sent Basic [redacted] to it"),
    ("key AKIAIOSFODNN7EXAMPLE is gone", "key [redacted] is gone"),
    ("AWS_SECRET_ACCESS_KEY=wJalr/K7", "AWS_SECRET_ACCESS_KEY=[redacted]"),
    ("access token: a1b2c3d4e5f6", "access token: [redacted]"),
    ("passwörd password='ä b' end", "passwörd password='[redacted]' end"),
    ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nx", "[redacted]\nx"),
    // Rust's own way to show values.
    (r#"Config { password: Some("hunter2"), port: 1 }"#, "Config { password: Some([redacted]), port: 1 }"),
    (r#"password: Secret("hunter2")"#, "password: Secret([redacted])"),
    (r#"password: b"hunter2", n: 1"#, r#"password: b"[redacted]", n: 1"#),
    (r#"password: Password { text: "a}b" } end"#, "password: Password {[redacted]} end"),
    ("password: Some(\n    \"hunter2\",\n), x", "password: Some([redacted]), x"),
    (r#"access_token: Some("ya29x"), n: 1"#, "access_token: Some([redacted]), n: 1"),
    (r#"[("password", "hunter2"), ("n", "1")]"#, r#"[("password", "[redacted]"), ("n", "1")]"#),
    (r#"cookies: {"sid": "abc123def", "x": "y"}, n: 1"#, "cookies: {[redacted]}, n: 1"),
    (r#""cookies": {"sid": "abc123def"}, "n": 1"#, r#""cookies": {[redacted]}, "n": 1"#),
    (r#"password: "ab\"cd9", n: 1"#, r#"password: "[redacted]", n: 1"#),
    ("password='it''s', n=1", "password='[redacted]', n=1"),
    (r#"password: "cut of"#, r#"password: "[redacted]"#),
    // Command lines.
    ("mysql --password hunter2 -h db", "mysql --password [redacted] -h db"),
    (r#""mysql" "--password" "hunter2" "-h""#, r#""mysql" "--password" "[redacted]" "-h""#),
    (r#"["--db-pass", "hunter2", "-h"]"#, r#"["--db-pass", "[redacted]", "-h"]"#),
    ("run --token=abc --verbose", "run --token=[redacted] --verbose"),
    ("ERR at AUTH hunter2", "ERR at AUTH [redacted]"),
    ("`AUTH default hunter2` failed", "`AUTH default [redacted]` failed"),
    // YAML.
    ("password: |\n  hunter2\n  more\nhost: x", "password: |\n  [redacted]\nhost: x"),
    ("db:\n  password: >-\n    hunter2\n  host: x", "db:\n  password: >-\n    [redacted]\n  host: x"),
    ("password:\n  hunter2\nhost: x", "password:\n  [redacted]\nhost: x"),
    ("password: correct horse battery", "password: [redacted]"),
    ("password: correct horse, host: db:5432", "password: [redacted], host: db:5432"),
    ("password: hunter2 host: db", "password: [redacted] host: db"),
    // Names.
    ("AccountName=a;AccountKey=Zm9v==;End=x", "AccountName=a;AccountKey=[redacted];End=x"),
    ("https://a.example/c?sv=1&sig=a%2Fb&se=2", "https://a.example/c?sv=1&sig=[redacted]&se=2"),
    ("db_pass=hunter2 dbPass=hunter3", "db_pass=[redacted] dbPass=[redacted]"),
    ("pass: hunter2", "pass: [redacted]"),
    ("sessionid=abc; session=x", "sessionid=[redacted]; session=[redacted]"),
    ("dsn=Zm9v", "dsn=[redacted]"),
    // Users.
    ("postgres://ada:hunter2@db:5432/x is down", "postgres://[redacted]@db:5432/x is down"),
    ("postgres://app:p#ss@db is down", "postgres://[redacted]@db is down"),
    ("postgres://app:p/s?s@db:5432/x is down", "postgres://[redacted]@db:5432/x is down"),
    ("postgres://app:p@ss#w@db/x", "postgres://[redacted]@db/x"),
    ("http://u:p@db/x?mail=ada@example.org", "http://[redacted]@db/x?mail=ada@example.org"),
    ("amqp://a:b@h1,amqp://c:d@h2", "amqp://[redacted]@h1,amqp://[redacted]@h2"),
    ("dsn=app:s3cret@tcp(db:3306)/x", "dsn=[redacted]@tcp(db:3306)/x"),
    ("DB_DSN=postgres://a:b@db:5432/x", "DB_DSN=postgres://[redacted]@db:5432/x"),
    ("connect app:s3cret@db:3306: refused", "connect [redacted]@db:3306: refused"),
    // Forms.
    ("sk_test_4eC39HqLyjWDarjtT1zdp7dc", "[redacted]"),
    ("whsec_4eC39HqLyjWDarjtT1zdp7dc", "[redacted]"),
    ("key AIzaSyA-1234567890abcdefghijklmnopqrstu.", "key [redacted]"),
    ("hf_AbCdEfGhIjKlMnOpQrStUvWx, x", "[redacted], x"),
    ("sent swt_4mVtq0bZ-1yLk7Xw_cN2eR8sAhJ5uGdP3oTfYiKzBxQ to", "sent [redacted] to"),
];

const NO_SECRETS: &[&str] = &[
    "unexpected token: } at line 3 column 7",
    "unexpected token: Some(Comma)",
    "cannot open /etc/app.toml: No such file or directory (os error 2)",
    "cannot open /run/secrets/db_password: Permission denied (os error 13)",
    "password_file=/run/app/db is missing",
    "src/secret.rs:17:5: no field",
    "crate::secret::load failed",
    "connect to http://db:5432/x?page=2: refused",
    "GET http://db:5432/x?mail=ada@example.org gave 404",
    "GET http://db/users/ada@example.org gave 404",
    "basic authentication failed; mail ada@example.org",
    "Basic AuthenticationFailed",
    "the password was refused",
    "--password is required; use --password <PASSWORD>",
    "risk-averse task-42 sk-1 hf_some_long_name_of_a_function",
    "bypass=1 compass: north72 design=2 signal: 9 signals=[1, 2]",
    "session expired: log in again",
    "session: expired",
    "sig=9 pass: 2 of 3 pass=2",
    "killed by signal: 9 (SIGKILL)",
    "NOAUTH Authentication required.",
    "AUTH failed: 535 5.7.8",
    "password: None, secret: null",
    "image nginx:1.25@sha256:0123abcd is gone; mailto:ada@example.org",
    "git clone git@github.com:org/repo: refused",
    "missing field `password`",
    "password authentication failed for user \"app\"",
];

#[test]
fn secrets_are_taken_out_of_what_is_kept() {
    for (text, shown) in SECRETS {
        assert_eq!(redact((*text).to_owned()), *shown);
        assert_eq!(redact((*shown).to_owned()), *shown, "once is enough");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in NO_SECRETS {
        assert_eq!(redact((*text).to_owned()), *text);
    }
}

#[test]
fn any_text_is_taken() {
    let parts = [
        "password=",
        "token:",
        "sk-",
        "a://",
        "password: {",
        "\\\"",
        "password: \"",
        "token: Some(",
        "secret:\n",
        "--pass ",
        "é@(:",
        "Basic ",
        "-----BEGIN PRIVATE KEY",
        "a:b@",
        "[redacted]",
        "  ",
        "'",
        "session:\\'",
    ];
    for one in parts {
        for other in parts {
            let text = format!("{one}{other}").repeat(1_000);
            let shown = redact(text);
            assert!(!shown.is_empty());
        }
    }
}

//! What the pages say, in English and in Japanese. A text that one language lacks does not compile.

use stepwell::diagnosis::Language;

/// A table of texts: a key, the English, the Japanese. `{}` stands for what a page puts in.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($key:ident: $english:literal, $japanese:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub(crate) struct $name {
            $(pub(crate) $key: &'static str,)*
        }

        impl $name {
            const ENGLISH: Self = Self { $($key: $english,)* };
            const JAPANESE: Self = Self { $($key: $japanese,)* };

            /// The texts in a language.
            pub(crate) const fn of(language: stepwell::diagnosis::Language) -> &'static Self {
                match language {
                    stepwell::diagnosis::Language::Japanese => &Self::JAPANESE,
                    _ => &Self::ENGLISH,
                }
            }

            #[cfg(test)]
            pub(crate) const ROWS: &'static [(&'static str, &'static str, &'static str)] =
                &[$((stringify!($key), $english, $japanese),)*];
        }
    };
}
pub(crate) mod places;
pub(crate) mod runs;
pub(crate) mod sheets;

words! {
    /// The texts of the frame: what every page has.
    Frame {
        overview: "Overview", "概要";
        runs: "Runs", "実行";
        groups: "Failure groups", "障害グループ";
        workers: "Workers", "ワーカー";
        queues: "Queues", "キュー";
        schedules: "Schedules", "スケジュール";
        audit: "Audit", "監査";
        settings: "Settings", "設定";
        skip_to_content: "Skip to content", "本文へ移動";
        navigation: "Main navigation", "メインナビゲーション";
        tenant: "Tenant", "テナント";
        all_tenants: "all tenants", "すべてのテナント";
        log_in: "Log in", "ログイン";
        log_out: "Log out", "ログアウト";
        theme: "Light or dark", "明暗の切り替え";
        language: "日本語", "English";
        live_on: "Live", "ライブ";
        live_off: "Live off", "ライブ停止";
        live_held: "Live held: rows are selected", "行を選択中のため更新を保留しています";
        live_title: "Keep this page up to date (r)", "このページを自動更新する (r)";
        same_data: "The same from the command line and the REST API", "コマンドラインと REST API で同じデータを得る";
        copy: "Copy", "コピー";
        copied: "Copied", "コピーしました";
        close: "Close", "閉じる";
        shortcuts: "Keyboard shortcuts", "キーボードショートカット";
        key_search: "Go to the search box", "検索ボックスへ移動";
        key_help: "Show these shortcuts", "このショートカット一覧を表示";
        key_live: "Live updates on or off", "ライブ更新の切り替え";
        key_theme: "Light or dark", "明暗の切り替え";
        key_rows: "Next or previous row", "次または前の行";
        key_open: "Open the row", "行を開く";
        key_select: "Select the row", "行を選択";
        key_close: "Close, or leave the search box", "閉じる・検索ボックスから離れる";
        ago: "{} ago", "{}前";
        ahead: "in {}", "{}後";
        just_now: "just now", "たった今";
        ms: "ms", "ミリ秒";
        s: "s", "秒";
        m: "m", "分";
        h: "h", "時間";
        d: "d", "日";
        queued: "queued", "開始待ち";
        running: "running", "実行中";
        waiting: "waiting", "待機中";
        paused: "paused", "一時停止";
        cancelling: "cancelling", "取消処理中";
        succeeded: "succeeded", "成功";
        failed: "failed", "失敗";
        cancelled: "cancelled", "取消済み";
        go_home: "To the overview", "概要へ";
        what_to_do: "What to do", "対処";
        request_id: "Request id", "リクエスト ID";
        login_lead: "This server asks for a token. Whoever runs it can give you one.", "このサーバーにはトークンが必要です。管理者から入手してください。";
        login_hint: "`stepwell token new NAME` draws one, with the lines for the server's settings.", "`stepwell token new 名前` でトークンとサーバー設定の行を作成できます。";
        token: "Token", "トークン";
        login_wrong: "That is not a token of this server.", "このサーバーのトークンではありません。";
        refused_401: "Log in first", "ログインが必要です";
        refused_403: "You may not do this", "この操作は許可されていません";
        refused_404: "There is nothing here", "ここには何もありません";
        refused_409: "It cannot be done now", "今は実行できません";
        refused_5xx: "Something went wrong", "問題が発生しました";
        refused_other: "The request was not understood", "要求を理解できませんでした";
        next_page: "Next page", "次のページ";
        first_page: "First page", "最初のページ";
        none: "—", "—";
    }
}

/// The text with what is put in for each `{}`, in order.
pub(crate) fn fill(text: &str, values: &[&dyn std::fmt::Display]) -> String {
    let mut filled = String::with_capacity(text.len() + 16);
    let mut parts = text.split("{}");
    filled.push_str(parts.next().unwrap_or_default());
    let mut values = values.iter();
    for part in parts {
        if let Some(value) = values.next() {
            filled.push_str(&value.to_string());
        }
        filled.push_str(part);
    }
    filled
}

/// The language that a word of settings, cookies or headers names.
pub(crate) fn language(word: &str) -> Option<Language> {
    match word.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "ja" => Some(Language::Japanese),
        "en" => Some(Language::English),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_say_every_text_with_the_same_places_to_fill() {
        let rows = [Frame::ROWS, places::Places::ROWS, runs::Runs::ROWS, sheets::Sheets::ROWS];
        for (key, english, japanese) in rows.into_iter().flatten() {
            assert!(!english.is_empty() && !japanese.is_empty(), "{key}");
            assert_eq!(english.matches("{}").count(), japanese.matches("{}").count(), "{key}");
        }
    }

    #[test]
    fn a_text_is_filled_in_order() {
        assert_eq!(fill("{} of {}", &[&1, &"two"]), "1 of two");
        assert_eq!(fill("none", &[&1]), "none");
    }
}

//! What is said of a run that is where it is, by name, in every language. `{name}` stands for what a case says there. A time stands
//! between spaces, so that whoever shows it can tell it from other numbers.

use crate::diagnosis::text::Language;

/// A text in every language.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) says: &'static str,
    pub(super) english: &'static str,
    pub(super) japanese: &'static str,
}

impl Text {
    pub(super) const fn of(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Japanese => self.japanese,
        }
    }
}

const fn text(says: &'static str, english: &'static str, japanese: &'static str) -> Text {
    Text { says, english, japanese }
}

/// The reasons, by the names that they are recorded under; below, their parts, what has to happen, and what else bears on it.
#[rustfmt::skip]
pub(super) const TEXTS: &[Text] = &[
    text("person", "a person has to let it go on: {message}", "人が続行させるまで進みません: {message}"),
    text("worker", "worker {worker} has it, and renews its lease until {until} at the earliest; running: {running}", "ワーカー {worker} が担当しています。リースは少なくとも {until} まで有効です。実行中: {running}"),
    text("lost_worker", "worker {worker} had it and is gone{told}; its lease ends at {until}", "担当していたワーカー {worker} は停止しています{told}。リースは {until} に切れます"),
    text("free_worker", "it is due since {since}: a worker has to take it that reads queue {queue} and has {workflow} version {version}", "開始できる状態です( {since} から)。キュー {queue} を読み、{workflow} バージョン {version} を持つワーカーを待っています"),
    text("no_definition", "it is due since {since}, and no workflow {workflow} version {version} is registered here{nearest}: a worker has to take it that has it and reads queue {queue}", "開始できる状態です( {since} から)。ワークフロー {workflow} バージョン {version} はここに登録されていません{nearest}。それを持ち、キュー {queue} を読むワーカーを待っています"),
    text("no_queue_worker", "it is due since {since}, and no live worker reads queue {queue}{nearest}", "開始できる状態ですが( {since} から)、キュー {queue} を読む稼働中のワーカーがありません{nearest}"),
    text("no_workflow_worker", "it is due since {since}, and no live worker that reads queue {queue} has {workflow} version {version}{nearest}", "開始できる状態ですが( {since} から)、キュー {queue} を読む稼働中のワーカーはどれも {workflow} バージョン {version} を持っていません{nearest}"),
    text("unanswered", "a {what} was sent to it at {since} and is not answered yet", "{what} を要求しましたが( {since} )、まだ応答がありません"),
    text("timer", "{place} sleeps until {at}", "{place} は {at} までスリープします"),
    text("retry", "{place} is tried again at {at}", "{place} は {at} に再試行されます"),
    text("signal", "{place} waits for signal {signals}{until}", "{place} はシグナル {signals} を待っています{until}"),
    text("child", "{place} waits for run {runs}{until}", "{place} は実行 {runs} の終了を待っています{until}"),
    text("outside", "{place} waits to be reported on, with token {token}{until}", "{place} は外部からの報告(トークン {token})を待っています{until}"),
    text("limit", "queue {queue} is full since {since}: at most {limit} runs{key} at once; {holders}", "キュー {queue} は {since} から満杯です: {key}同時に最大 {limit} 件。{holders}"),
    text("queue_paused", "queue {queue} was paused by {by} at {since}: {message}", "キュー {queue} は {since} に一時停止されました(実行者: {by}): {message}"),
    text("not_before", "it does not begin before {at}", "{at} までは開始されません"),
    text("time", "nothing happens before {at}", "{at} までは何も起きません"),
    text("unreadable", "its journal cannot be read here: {message}", "ジャーナルをここでは読めません: {message}"),
    text("ended", "it has ended: {status}{message}", "終了しています: {status}{message}"),
    text("nothing", "nothing will move it; please report this", "この実行を進めるものがありません。不具合として報告してください"),

    text("nothing_yet", "nothing yet", "まだなし"),
    text("told_last", ", as far as it told last at {at}", "(最後の報告は {at} )"),
    text("nearest_workflow", "; the nearest is {workflow} version {version}", "(最も近いのは {workflow} バージョン {version})"),
    text("nearest_queue", "; the nearest that is read is {queue}", "(読まれているうち最も近いのは {queue})"),
    text("or", " or ", " または "),
    text("up_to", ", at most until {at}", "(最長で {at} まで)"),
    text("of_key", " with key {key}", "キー {key} ごとに"),
    text("holders_ended", "those that count have just ended", "対象の実行はちょうど終了したところです"),
    text("holders_counted", "counting: {count} runs", "対象: {count} 件"),
    text("holders_named", "counting: {named}", "対象: {named}"),
    text("holders_and_more", "counting: {named} and {count} more", "対象: {named} ほか {count} 件"),
    text("and_why", ": {message}", ": {message}"),

    text("next_mend", "mend what is wrong, then `retry` {run}; or skip the step, give its output, or cancel the run", "原因を取り除き、{run} を `retry` してください。ステップのスキップ、出力の設定、実行の取消もできます"),
    text("next_resume", "`resume` {run}, or cancel it", "{run} を `resume` するか、取り消してください"),
    text("next_worker", "worker {worker} goes on with it; `interrupt` stops its steps", "ワーカー {worker} が続けます。`interrupt` で実行中のステップを止められます"),
    text("next_lost_worker", "when the lease has ended, at {until}, the next worker takes it", "リースが {until} に切れると、次のワーカーが引き継ぎます"),
    text("next_free_worker", "a worker that has room takes it; if all are full, start another one", "空きのあるワーカーが引き受けます。すべて埋まっている場合は、ワーカーを追加してください"),
    text("next_definition", "start a worker that reads queue {queue} and has {workflow} version {version}, or takes it over", "キュー {queue} を読み、{workflow} バージョン {version} を持つ(または引き継ぐ)ワーカーを起動してください"),
    text("next_queue_worker", "start a worker that reads queue {queue}", "キュー {queue} を読むワーカーを起動してください"),
    text("next_timer", "it goes on at {at}", "{at} に続行します"),
    text("next_retry", "the next attempt begins at {at}", "{at} に次の試行が始まります"),
    text("next_signal", "send signal {signals}", "シグナル {signals} を送ってください"),
    text("next_signal_until", "send signal {signals}; without it, it goes on at {at}", "シグナル {signals} を送ってください。届かない場合は {at} に続行します"),
    text("next_child", "the run that it waits for ends", "待っている実行が終了すると続行します"),
    text("next_child_until", "the run that it waits for ends; without that, it goes on at {at}", "待っている実行が終了すると続行します。終了しない場合は {at} に続行します"),
    text("next_outside", "whoever has the work reports on it with token {token}", "作業の担当者がトークン {token} で報告します"),
    text("next_limit", "a run that counts ends or rests; or raise the limit of queue {queue}", "対象の実行のどれかが終了または休止するか、キュー {queue} の制限を上げる必要があります"),
    text("next_queue_paused", "let queue {queue} go on: `resume_queue`", "キュー {queue} を再開してください: `resume_queue`"),
    text("next_not_before", "it begins at {at}", "{at} に開始します"),
    text("next_time", "it is looked at again at {at}", "{at} に改めて確認されます"),
    text("next_unanswered", "a worker answers the request; start one if none is there", "ワーカーが要求に応答します。ワーカーがない場合は起動してください"),
    text("next_unreadable", "start workers of the version that wrote it, or have the store checked", "書き込んだバージョンのワーカーを起動するか、ストアを検査してください"),
    text("next_failed", "nothing, unless a person lets it go on: mend what is wrong, then `retry` {run}", "人が続行させない限り何も起きません。原因を取り除き、{run} を `retry` してください"),
    text("next_ended", "nothing: it has ended", "何も起きません。終了しています"),
    text("next_nothing", "nothing moves it: this is a fault of the engine, please report it", "進めるものがありません。エンジンの不具合なので報告してください"),

    text("also_diagnosis", "{code}: {summary}", "{code}: {summary}"),
    text("also_child", "run {run}: {why}", "実行 {run}: {why}"),
    text("not_there_yet", "it is not there yet", "まだ存在しません"),
    text("also_stuck", "counted although no worker advances them: {runs}", "進めているワーカーがないのに数えられている実行: {runs}"),
    text("of_other_tenants", "{count} of other tenants", "ほかのテナントの {count} 件"),
    text("also_takers", "live workers that can take it: {able}, with room: {room}", "引き受けられる稼働中のワーカー: {able}、うち空きあり: {room}"),
    text("also_told", "its worker last told of itself at {at}", "担当ワーカーの最後の報告: {at}"),
    text("also_running", "{place} runs: attempt {attempt}, since {since}", "{place} を実行中: 試行 {attempt}、開始 {since}"),
    text("also_asked", "asked of it and not done yet: {request}", "要求されたがまだ行われていないこと: {request}"),
    text("also_deadline", "it fails at {at} unless it has ended", "{at} までに終了しないと失敗になります"),
];

//! What the pages of a run say, in English and in Japanese.

words! {
    /// The texts of the pages of a run.
    RunWords {
        overview: "Overview", "概要";
        graph: "Graph", "グラフ";
        steps: "Steps", "ステップ";
        timeline: "Timeline", "タイムライン";
        logs: "Logs", "ログ";
        data: "Data", "データ";
        audit: "Audit", "監査";
        parts_of_run: "Parts of this run", "この実行の各ページ";
        version: "version {}", "バージョン {}";
        about: "about {} left", "残り約{}";
        at_attempt: "{}, attempt {}", "{}(試行 {})";
        and_more: " and {} more", " ほか {} 件";
        now_at: "Now at", "現在位置";
        started: "Started", "開始";
        created: "Created", "作成";
        ended_at: "Ended", "終了";
        elapsed: "Elapsed", "経過";
        next_wake: "Wakes", "次の起動";
        worker: "Worker", "ワーカー";
        queue: "Queue", "キュー";
        priority: "Priority", "優先度";
        tags: "Tags", "タグ";
        parent: "Parent run", "親の実行";
        forked_from: "Forked from", "フォーク元";
        deadline: "Deadline", "期限";
        why: "Why", "詳しく見る";
        not_registered: "{} version {} is not registered with this engine, so the definition is not known here. The journal tells what follows; start a worker that has the workflow to let the run go on.", "{} バージョン {} はこのエンジンに登録されていないため、定義は不明です。以下はジャーナルの内容です。続行するには、このワークフローを持つワーカーを起動してください。";
        unreadable: "This version cannot read the journal as a whole: {}. What can be read is shown.", "このバージョンではジャーナル全体を読めません: {}。読める部分を表示しています。";
        definition_changed: "The definition registered here as version {} is not the one that this run began with.", "ここに登録されているバージョン {} の定義は、この実行が開始されたときのものと異なります。";

        actions: "Actions", "操作";
        needs_operator: "this needs the role operator", "operator の役割が必要です";
        needs_definition: "this needs an engine that has the workflow", "ワークフローを持つエンジンが必要です";
        verb_fork: "Fork", "フォーク";

        cause: "Cause", "原因";
        seen: "What was seen", "観測された事実";
        inferred: "What that suggests", "そこからの推定";
        what_to_do: "What to do", "対処";
        confidence: "Confidence", "確度";
        confidence_high: "proven by what was seen", "事実により確定";
        confidence_medium: "likely", "おそらく";
        confidence_low: "a guess", "可能性あり";
        confidence_unknown: "not known", "不明";
        retry_safety: "Trying again", "再試行";
        retry_safe: "does no harm", "安全";
        retry_unsafe: "may repeat an effect that has happened", "既に起きた作用を繰り返すおそれがあります";
        retry_unknown: "nobody can tell whether it does harm", "安全かどうか不明";
        failing_attempt: "The failing attempt", "失敗した試行";
        same_failure: "Runs with the same failure", "同じ失敗の実行";
        no_diagnosis: "Nothing was said of why. The message is:", "診断はありません。メッセージ:";
        where_it_is: "Why it is where it is", "この状態の理由";
        since: "Since", "いつから";
        until: "Until", "いつまで";
        who_can: "Who can change it", "変えられる者";
        who_time: "nobody has to: time passes", "時間の経過のみ";
        who_person: "a person", "人";
        who_signal: "whoever sends the signal", "シグナルの送信者";
        who_worker: "a worker", "ワーカー";
        who_run: "another run", "別の実行";
        who_nobody: "nobody", "なし";
        next: "What is next", "次に起きること";
        also: "What else bears on it", "関連すること";
        result: "Result", "結果";
        latest: "What happened last", "直近の出来事";
        all_of_it: "See all", "すべて表示";

        send_signal: "Send a signal", "シグナルを送る";
        waits_for_signal: "{} waits for a signal. What you send here is what it gets.", "{} がシグナルを待っています。ここで送った値が渡されます。";
        signal: "Signal", "シグナル";
        value: "Value, as JSON", "値(JSON)";
        send: "Send", "送信";
        signal_sent: "The signal {} was sent.", "シグナル {} を送信しました。";
        json_wrong: "That is not JSON: {}", "JSON として正しくありません: {}";
        name_needed: "Say which signal.", "シグナルを指定してください。";

        choose_step: "Step, as in pack or pack[2]", "ステップ(例: pack または pack[2])";
        input_optional: "New input, as JSON; empty to keep it", "新しい入力(JSON)。空の場合は変更しません";
        fork_lead: "A new run takes over what is recorded before a step and begins again there. This run stays as it is.", "指定したステップより前の記録を引き継いだ新しい実行が、そこから始まります。この実行はそのまま残ります。";
        fork_id: "Id of the new run", "新しい実行の ID";
        not_copied: "Results that are not copied", "コピーされない結果";
        fork_done: "Forked from {}.", "{} からフォークしました。";

        not_begun: "not begun", "未開始";
        is_running: "running", "実行中";
        is_retried: "is tried again", "再試行待ち";
        is_waiting: "waits", "待機";
        is_sleeping: "sleeps", "スリープ";
        has_succeeded: "succeeded", "成功";
        has_partly: "some failed", "一部失敗";
        has_failed: "failed", "失敗";
        was_skipped: "skipped", "スキップ";
        was_undone: "undone", "補償済み";
        was_passed: "not taken", "選択されず";
        was_stopped: "stopped", "停止";
        was_lost: "lost", "喪失";
        was_suspended: "suspended", "中断待機";

        graph_title: "The definition of {} version {}, with where each step stands", "{} バージョン {} の定義と各ステップの状態";
        graph_table: "The same as a table", "表で見る";
        graph_cut: "The picture has room for {} parts; {} more are in the table of steps.", "図に収まるのは {} 部分です。残り {} 件はステップの表にあります。";
        graph_none: "There is no picture without a definition. These are the steps that the journal knows.", "定義がないため図はありません。ジャーナルにあるステップを表示します。";
        each_item: "each item, at most {} at once", "各項目(同時 {} 件まで)";
        some_may_fail: "some may fail", "一部の失敗を許容";
        again_while: "again while {} says so, at most {} times", "{} が真の間くり返す(最大 {} 回)";
        items_of: "{} of {} items", "{} / {} 項目";
        items_failed: "{} failed", "失敗 {}";
        rounds: "{} rounds", "{} 回";
        kind_decide: "decides", "分岐判定";
        kind_recall: "the result of {} again", "{} の結果を再利用";
        kind_more: "{} more steps", "ほか {} ステップ";
        attempt_no: "attempt {}", "試行 {}";
        attempt_shown: "Attempt {}", "試行 {}";
        undone_by: "undone by {}", "{} で補償";

        step: "Step", "ステップ";
        state: "State", "状態";
        attempts: "Attempts", "試行";
        attempt: "Attempt", "試行";
        items: "Items", "項目";
        item: "Item", "項目";
        took: "Took", "所要時間";
        note: "Note", "メモ";
        all_steps: "All steps", "すべてのステップ";
        all: "All", "すべて";
        no_steps: "No step has begun.", "まだ開始されたステップはありません。";
        no_items: "No item is like that.", "該当する項目はありません。";
        no_attempts: "No attempt has ended yet.", "終了した試行はまだありません。";
        is_under_way: "Attempt {} runs now, since {}.", "試行 {} を実行中({} から)。";
        compare_with: "Compare with", "比較対象";
        compared: "Attempt {} beside attempt {}", "試行 {} と試行 {} の比較";
        differs: "differs", "相違";
        ended: "How it ended", "終わり方";
        class: "Class", "分類";
        code: "Code", "コード";
        error: "Error", "エラー";
        chain: "Error chain", "エラーの連鎖";
        context_lines: "What was going on", "実行中の処理";
        location: "Where in the code", "コード上の場所";
        duration: "Duration", "所要時間";
        host: "Host", "ホスト";
        code_version: "Code version", "コードのバージョン";
        input_hash: "Input hash", "入力のハッシュ";
        input_size: "Input size", "入力のサイズ";
        output_size: "Output size", "出力のサイズ";
        sign_of_life: "Last sign of life", "最後の生存通知";
        cpu: "Processor time", "CPU 時間";
        memory_peak: "Memory peak", "最大メモリ";
        cursor: "Cursor", "カーソル";
        limits: "Limits that were set", "設定された制限";
        environment: "What was found around it", "周囲の状況";
        backtrace: "Backtrace", "バックトレース";
        log_tail: "Last log lines", "最後のログ";
        left_out: "{} left out", "{} 件省略";
        children: "Child runs", "子の実行";
        of_pages: "page {} of {}", "{} / {} ページ";
        earlier: "Earlier", "前へ";
        later: "Later", "次へ";

        row_run: "the run", "実行全体";
        span_queued: "waits for a worker", "ワーカー待ち";
        span_taken: "a worker has it", "ワーカーが処理中";
        span_idle: "waits", "待機";
        span_held: "held", "保留";
        span_running: "running", "実行中";
        span_succeeded: "succeeded", "成功";
        span_failed: "failed", "失敗";
        span_lost: "lost", "喪失";
        span_stopped: "stopped", "停止";
        span_suspended: "suspended", "中断待機";
        span_backoff: "until the next attempt", "次の試行まで";
        span_sleep: "sleep", "スリープ";
        span_signal: "waits for a signal", "シグナル待ち";
        span_child: "waits for a child run", "子の実行待ち";
        span_outside: "waits to be reported on", "外部の報告待ち";
        span_skipped: "skipped", "スキップ";
        span_set: "output set", "出力設定";
        span_copied: "copied", "コピー";
        timeline_lead: "Each row is a step: its attempts, and the waits between them. {} steps have begun.", "各行がステップです。試行とその間の待ちを表示します。開始済み {} ステップ。";
        legend: "Legend", "凡例";

        level: "Level", "レベル";
        category: "Category", "カテゴリー";
        any_level: "any level", "すべて";
        filter: "Filter", "絞り込み";
        clear: "Clear", "解除";
        first_error: "First error", "最初のエラー";
        newest: "Newest", "最新";
        oldest: "Oldest", "最初";
        download: "Download", "ダウンロード";
        no_logs: "No line is like that.", "該当する行はありません。";
        teach_logs: "Steps write lines with `ctx.log(…)`; they appear here while they run.", "ステップは `ctx.log(…)` で行を書きます。実行中からここに表示されます。";
        time: "Time", "時刻";

        input: "Input", "入力";
        output: "Output", "出力";
        context: "Context", "コンテキスト";
        secrets_hidden: "What has the form of a secret is hidden.", "秘密情報の形をした値は隠しています。";
        secrets_hide: "Hide what has the form of a secret", "秘密情報を隠す";
        show_secrets: "Show it", "表示する";
        outputs_of_steps: "Outputs of steps", "ステップの出力";
        no_output: "There is no result yet.", "結果はまだありません。";
        no_context: "Steps share nothing so far.", "共有データはまだありません。";
        shown_part: "The first {} of {} are shown.", "{} / 全体 {} を表示しています。";
        whole: "All of it", "全体を見る";
        link: "Link", "リンク";

        actor: "Who", "実行者";
        what: "What", "内容";
        text: "Text", "テキスト";
        any_category: "any category", "すべて";
        no_entries: "Nothing that happened is like that.", "該当する出来事はありません。";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_say_every_text_with_the_same_places_to_fill() {
        for (key, english, japanese) in RunWords::ROWS {
            assert!(!english.is_empty() && !japanese.is_empty(), "{key}");
            assert_eq!(english.matches("{}").count(), japanese.matches("{}").count(), "{key}");
        }
    }
}

//! The texts of the forms by which runs and schedules are made.

words! {
    /// The texts of the forms by which runs and schedules are made.
    Sheets {
        start: "Start a run", "実行を開始";
        start_now: "Start", "開始";
        check: "Check", "確認";
        check_means: "Says what would happen, and does nothing", "何が起きるかを表示するだけで、実行しません";
        start_lead: "A run is one execution of a workflow. Sending the form twice starts one run.", "実行とは、ワークフローの1回の実行です。フォームを2回送信しても開始される実行は1つです。";
        for_tenant: "It will be of tenant {}.", "テナント {} のものになります。";
        workflow: "Workflow", "ワークフロー";
        known_workflows: "Known here", "既知のワークフロー";
        version: "Version", "バージョン";
        version_hint: "the newest", "最新";
        input: "Input (JSON)", "入力 (JSON)";
        input_hint: "null", "null";
        input_kept: "Leave it empty to keep the input as it is:", "空のままにすると、現在の入力を維持します:";
        like_this: "What the latest run of {} began with", "{} の最新の実行の入力";
        id: "Id", "ID";
        id_hint: "one is made", "自動生成";
        tags: "Tags, one name=value a line", "タグ(1行に1つ 名前=値)";
        queue: "Queue", "キュー";
        queue_hint: "that of the workflow", "ワークフローの既定";
        priority: "Priority: higher goes first", "優先度(大きいほど先)";
        delay: "Begins in", "開始までの時間";
        delay_hint: "at once; or 30s, 2h, 1d", "すぐに。または 30s、2h、1d";
        more: "More", "詳細設定";
        would_start: "This would start a run of {} version {} in queue {}.", "{} バージョン {} の実行をキュー {} で開始します。";
        would_wait: "No worker in this process has its code: the run waits for one that has.", "このプロセスのワーカーはこのコードを持たないため、持つワーカーを待ちます。";
        is_there: "A run with this id was started alike before: nothing would be started.", "同じ内容で開始された実行がすでにあるため、何も開始されません。";
        started: "Run {} was started.", "実行 {} を開始しました。";
        was_there: "Run {} was there already; nothing was started.", "実行 {} はすでにあるため、何も開始していません。";
        back: "Back", "戻る";

        new_schedule: "New schedule", "新しいスケジュール";
        edit: "Edit", "編集";
        edit_title: "Schedule {}", "スケジュール {}";
        schedule_lead: "A schedule starts a run of a workflow at times, also those that came while nothing ran.", "スケジュールは、停止中に過ぎた分も含めて、決まった時刻にワークフローの実行を開始します。";
        name: "Name", "名前";
        cron: "Times, as a cron expression", "時刻 (cron 式)";
        cron_hint: "0 9 * * MON-FRI", "0 9 * * MON-FRI";
        cron_means: "Minute, hour, day of the month, month, day of the week. Either this or an interval.", "分、時、日、月、曜日。これか間隔のどちらかを指定します。";
        timezone: "Time zone of the times", "時刻のタイムゾーン";
        timezone_hint: "UTC; or Asia/Tokyo", "UTC。または Asia/Tokyo";
        every: "Or an interval", "または間隔";
        every_hint: "15m, 1h, 1d", "15m、1h、1d";
        one_of_both: "Say either the times or an interval.", "時刻か間隔のどちらか一方を指定してください。";
        overlap: "When a time comes while a run has not ended", "前の実行が終わらないうちに時刻が来たら";
        overlap_skip: "skip that time", "その回を飛ばす";
        overlap_queue: "start it when the other has ended", "終了してから開始する";
        overlap_cancel_old: "cancel the other, then start it", "前の実行を取り消して開始する";
        overlap_allow: "start it at once", "すぐに開始する";
        catch_up: "How late a run may be started", "開始の遅れの許容";
        catch_up_hint: "1d", "1d";
        jitter: "Spread: starts up to so much later", "ばらつき(最大の遅れ)";
        jitter_hint: "none; or 5m", "なし。または 5m";
        from: "Not before", "開始日時";
        until: "Not after", "終了日時";
        time_hint: "2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z";
        show_times: "Show the next times", "次の時刻を表示";
        next_times: "The next times would be", "次の時刻";
        no_times: "No time is left: nothing would be started.", "残りの時刻がないため、何も開始されません。";
        save: "Save", "保存";
        saved_new: "Schedule {} was made.", "スケジュール {} を作成しました。";
        saved: "Schedule {} was changed.", "スケジュール {} を変更しました。";
        exists: "A schedule of this name is there. Edit that one, or choose another name.", "この名前のスケジュールはすでにあります。それを編集するか、別の名前にしてください。";
        delete: "Delete", "削除";
        delete_title: "Delete schedule {}", "スケジュール {} を削除";
        delete_lead: "Nothing is started by it any more. Runs that it has started go on.", "今後このスケジュールでは何も開始されません。開始済みの実行は続きます。";
        deleted: "Schedule {} is gone.", "スケジュール {} を削除しました。";
        backfill: "Backfill", "過去分の実行";
        backfill_title: "Backfill schedule {}", "スケジュール {} の過去分を実行";
        backfill_lead: "Starts the runs of all its times in a span that has gone by, but those that were started.", "過ぎた期間の時刻のうち、まだ開始していないものの実行を開始します。";
        first_time: "From", "最初";
        last_time: "To", "最後";
        backfill_times: "{} times, {} of them not started so far", "{} 件(うち未開始 {} 件)";
        backfill_none: "The schedule has no time in this span.", "この期間に時刻はありません。";
        backfilled: "Backfill of {}: {} runs.", "{} の過去分: 実行 {} 件。";
        backfill_now: "Start them", "開始";
        and_more: "and {} more", "ほか {} 件";
        reason: "Reason", "理由";
        reason_hint: "For the audit log", "監査ログに記録されます";

        needed: "This has to be said.", "入力してください。";
        no_number: "This is no number: {}", "数値ではありません: {}";
        no_json: "This is not JSON: {}", "JSON として正しくありません: {}";
        no_span: "This is no span like 90s, 15m or 2h 30m: {}", "90s、15m、2h 30m のような期間ではありません: {}";
        no_time: "This is no time like 2026-01-31T12:00:00Z: {}", "2026-01-31T12:00:00Z のような時刻ではありません: {}";
        no_tag: "A tag is name=value, and this is not: {}", "タグは「名前=値」で指定します: {}";
    }
}

//! 8xxx: the workflow and people; 9xxx: unknown.

use super::{Entry, Texts};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "SW8001",
        params: &["actor"],
        actions: &["ask_actor", "fork"],
        english: Texts {
            title: "The run was cancelled",
            summary: "{actor} cancelled the run.",
            cause: "Somebody asked for it; nothing is wrong with the step.",
            confirm: "Read in the history who asked, when and why.",
            fix: "Nothing. To have the work done after all, fork the run from where it stood.",
        },
        japanese: Texts {
            title: "実行は取り消されました",
            summary: "{actor} が実行を取り消しました。",
            cause: "求められて取り消されたもので、ステップに異常はありません。",
            confirm: "履歴で、誰がいつなぜ求めたかを読んでください。",
            fix: "何も要りません。やはり必要なら、止まった所から分岐させてください。",
        },
    },
    Entry {
        code: "SW8101",
        params: &["wanted"],
        actions: &["register_step", "resume"],
        english: Texts {
            title: "The step is not in the worker's definition",
            summary: "The run needs step {wanted}, which the definition of this worker does not have.",
            cause: "The step was renamed or removed, is misspelt, or the worker runs other code than the run began with.",
            confirm: "Compare the step's name with those of the definition that the worker has.",
            fix: "Deploy a worker whose workflow has the step under this name, then resume.",
        },
        japanese: Texts {
            title: "ワーカーの定義にステップがありません",
            summary: "実行にはステップ {wanted} が必要ですが、このワーカーの定義にありません。",
            cause: "ステップの改名や削除、綴り違い、または実行開始時と違うコードのワーカーであることが考えられます。",
            confirm: "ステップ名を、ワーカーの定義にある名前と比べてください。",
            fix: "この名前のステップを持つワーカーをデプロイし、再開してください。",
        },
    },
    Entry {
        code: "SW8201",
        params: &["other", "other_run"],
        actions: &["explain_other"],
        english: Texts {
            title: "It follows from its parent",
            summary: "The run was stopped because its parent ended first: {other}.",
            cause: "The cause lies with the parent; this run did nothing wrong.",
            confirm: "Look at how the parent ended, and at what was asked for its children.",
            fix: "Mend the parent. If its children shall outlive it, say so where it starts them.",
        },
        japanese: Texts {
            title: "親の実行に伴う結果です",
            summary: "親が先に終わったため、この実行は止められました: {other}",
            cause: "原因は親にあり、この実行に問題はありません。",
            confirm: "親がどう終わったか、子の扱いがどう指定されているかを見てください。",
            fix: "親を直してください。子を残したい場合は、起動する所でそう指定してください。",
        },
    },
    Entry {
        code: "SW8202",
        params: &["other", "other_run"],
        actions: &["explain_other", "retry"],
        english: Texts {
            title: "It follows from its child",
            summary: "Step {step} failed because a run that it started did: {other}.",
            cause: "The cause lies with the child.",
            confirm: "Look at the diagnosis of the child.",
            fix: "Mend what failed there, then retry this step.",
        },
        japanese: Texts {
            title: "子の実行に伴う結果です",
            summary: "ステップ {step} が失敗したのは、起動した実行が失敗したためです: {other}",
            cause: "原因は子の実行にあります。",
            confirm: "子の診断を見てください。",
            fix: "そこでの失敗を直してから、このステップを再試行してください。",
        },
    },
    Entry {
        code: "SW8203",
        params: &["other", "other_run"],
        actions: &["explain_other"],
        english: Texts {
            title: "It follows from another step",
            summary: "Step {step} was stopped because another step of the run failed: {other}.",
            cause: "The cause lies with the other step; this one did nothing wrong.",
            confirm: "Look at the diagnosis of the other step.",
            fix: "Mend what failed there; this step runs again when the run goes on.",
        },
        japanese: Texts {
            title: "別のステップに伴う結果です",
            summary: "実行の別のステップが失敗したため、ステップ {step} は止められました: {other}",
            cause: "原因は別のステップにあり、このステップに問題はありません。",
            confirm: "別のステップの診断を見てください。",
            fix: "そこでの失敗を直してください。実行が続くとき、このステップはまた動きます。",
        },
    },
    Entry {
        code: "SW9001",
        params: &[],
        actions: &["show", "classify_error"],
        english: Texts {
            title: "The cause is not known",
            summary: "{step} failed, and what was seen does not tell why.",
            cause: "None of the known causes fits the evidence well enough to be named.",
            confirm: "Read the error and the facts below; compare the attempts with each other.",
            fix: "Add context to the error in the step, classify its type, or write a rule for it; then the next failure says more.",
        },
        japanese: Texts {
            title: "原因は分かりません",
            summary: "{step} は失敗しましたが、得られた事実からは理由が分かりません。",
            cause: "既知の原因のうち、証拠に十分合うものがありません。",
            confirm: "エラーと以下の事実を読み、試行どうしを比べてください。",
            fix: "ステップのエラーに文脈を加えるか、型を分類するか、規則を書いてください。次の失敗でより多くのことが分かります。",
        },
    },
];

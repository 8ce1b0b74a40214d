//! §3.2 (what §3.3's truth table, in `trigger_rule`, does not show) and §3.4.

use super::{end, picture, rule_named, sim};
use crate::{
    plan::trigger_rule::{Upstreams, Verdict, evaluate},
    state::TaskInstanceState as S,
};

/// Letters as in §3.3; small ones are setups. `map_index` is the instance's own.
fn verdict(rule: &str, upstreams: &str, map_index: i32) -> Verdict {
    let mut up = Upstreams::default();
    for letter in upstreams.chars() {
        let state = match letter.to_ascii_uppercase() {
            'S' => S::Success,
            'F' => S::Failed,
            'K' => S::Skipped,
            'U' => S::UpstreamFailed,
            'R' => S::Removed,
            _ => S::Running,
        };
        up.count(state, letter.is_ascii_lowercase() || letter == '_');
    }
    evaluate(rule_named(rule), &up, map_index)
}

#[test]
fn section_3_2_rules_by_immediate_state_and_run_condition() {
    use Verdict::{Remove, Run, Skip, UpstreamFailed, Wait};
    let rows = [
        // rule, upstreams (small: setups), map index, verdict
        ("all_success", "SSR", -1, Run),
        ("all_success", "SSR", 1, Run),
        ("all_success", "SSR", 2, Remove),
        ("all_success", "S-R", 1, Remove),
        ("all_success", "RR", 1, Run),
        ("all_success", "FSR", 2, UpstreamFailed),
        ("all_success", "KSR", 2, Skip),
        ("all_failed", "FUR", 2, Run),
        ("all_failed", "FR-", 2, Wait),
        ("all_done", "SFKUR", -1, Run),
        ("all_done_min_one_success", "SR", -1, Run),
        ("all_done_min_one_success", "FR", -1, UpstreamFailed),
        ("all_done_min_one_success", "K-", -1, Skip),
        ("all_done_setup_success", "kS", -1, Skip),
        ("all_done_setup_success", "kkF", -1, Skip),
        ("all_done_setup_success", "k_", -1, Wait),
        ("all_done_setup_success", "fS", -1, UpstreamFailed),
        ("all_done_setup_success", "uF", -1, UpstreamFailed),
        ("all_done_setup_success", "fkS", -1, UpstreamFailed),
        ("all_done_setup_success", "sfF", -1, Run),
        ("all_done_setup_success", "skS", -1, Run),
        ("all_done_setup_success", "s-", -1, Wait),
        ("all_done_setup_success", "FU", -1, Run),
        ("one_success", "S-", -1, Run),
        ("one_success", "KR", -1, UpstreamFailed),
        ("one_failed", "U-", -1, Run),
        ("one_failed", "RS", -1, Skip),
        ("one_done", "F-", -1, Run),
        ("one_done", "KUR", -1, Skip),
        ("none_failed", "SKR", -1, Run),
        ("none_failed", "SU-", -1, UpstreamFailed),
        ("none_failed_min_one_success", "KR", -1, UpstreamFailed),
        ("none_failed_min_one_success", "KKS", -1, Run),
        ("none_skipped", "K-", -1, Skip),
        ("none_skipped", "SFUR", -1, Run),
        ("all_skipped", "KKU", -1, Skip),
        // For ever.
        ("all_skipped", "KR", -1, Wait),
        ("always", "F-", -1, Run),
        ("always", "u", -1, Run),
    ];
    for (rule, upstreams, map_index, expected) in rows {
        assert_eq!(verdict(rule, upstreams, map_index), expected, "{rule} of {upstreams} at {map_index}");
    }
}

/// The ✔ lines, and that not all setups are waited for where one decides.
#[test]
fn section_3_4_setups_decide_their_work() {
    let one = "s!setup; w < s; t!teardown < s w";
    let two = "s!setup; r!setup; w < s r; t!teardown < s r w";
    let far = "s!setup; w < s; v:all_done < w; t!teardown < s v";
    let rows = [
        ("setup fails", one, "s=F", "s failed, w upstream_failed, t upstream_failed"),
        ("setup skipped", one, "s=K", "s skipped, w skipped, t skipped"),
        ("two setups, one fails", two, "s=F r=S", "s failed, r success, w upstream_failed, t scheduled"),
        ("two setups, one failed and one runs", two, "s=F", "s failed, r scheduled, w upstream_failed, t none"),
        ("work fails", one, "s=S w=F", "s success, w failed, t scheduled"),
        ("an indirect setup fails", far, "s=F", "s failed, w upstream_failed, v upstream_failed, t upstream_failed"),
        ("an indirect setup is skipped", far, "s=K", "s skipped, w skipped, v skipped, t skipped"),
        ("an indirect setup succeeded", far, "s=S w=F", "s success, w failed, v scheduled, t none"),
        (
            "behind work and teardown",
            "s!setup; w < s; t!teardown < s w; x < w t",
            "s=S w=S t=F",
            "s success, w success, t failed, x upstream_failed",
        ),
    ];
    for (name, tasks, ends, expected) in rows {
        let mut sim = sim(tasks, |_| {});
        end(&mut sim, ends);
        assert_eq!(picture(&sim), expected, "{name}");
    }
}

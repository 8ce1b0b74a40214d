//! The priorities of all tasks at once (semantics §7): a task's own weight plus those of everything reachable from it.
//!
//! The sum is over the *set* of relatives (a task reached by two paths counts once), so it does not follow from the
//! neighbours' sums and every task needs its own set. All sets together are n² bits; they are made in bands of [`BAND`]
//! columns, so that 100,000 tasks need megabytes rather than a gigabyte.

use super::{Dag, TaskIndex, WeightRule};

/// Columns of one band, in words of 64.
const WORDS: usize = 16;
const BAND: usize = WORDS * 64;

/// Effective priorities by task index, clamped to 32 bits.
pub(super) fn priorities(dag: &Dag) -> Vec<i32> {
    let mut sums: Vec<i64> = dag.tasks.iter().map(|task| i64::from(task.priority_weight)).collect();
    let uses = |rule| dag.tasks.iter().any(|task| task.weight_rule == rule);
    let order = dag.topological();
    if uses(WeightRule::Downstream) {
        let next: Vec<Vec<TaskIndex>> = (0..dag.tasks.len()).map(|task| dag.downstream(task).collect()).collect();
        add_relatives(dag, WeightRule::Downstream, order.iter().rev(), &next, &mut sums);
    }
    if uses(WeightRule::Upstream) {
        let next: Vec<Vec<TaskIndex>> = (0..dag.tasks.len()).map(|task| dag.upstream(task).collect()).collect();
        add_relatives(dag, WeightRule::Upstream, order.iter(), &next, &mut sums);
    }
    sums.into_iter().map(|sum| i32::try_from(sum).unwrap_or(if sum < 0 { i32::MIN } else { i32::MAX })).collect()
}

/// Adds the weights of everything reachable by `next` to the tasks with this rule; `order` visits a task after all its `next`.
fn add_relatives<'a>(
    dag: &Dag,
    rule: WeightRule,
    order: impl Iterator<Item = &'a TaskIndex> + Clone,
    next: &[Vec<TaskIndex>],
    sums: &mut [i64],
) {
    let count = dag.tasks.len();
    let mut reached = vec![[0_u64; WORDS]; count];
    for first in (0..count).step_by(BAND) {
        let weights = Band::new(dag, first);
        for &task in order.clone() {
            let mut set = [0; WORDS];
            for &other in &next[task] {
                for (word, of_other) in set.iter_mut().zip(&reached[other]) {
                    *word |= of_other;
                }
                if (first..first + BAND).contains(&other) {
                    set[(other - first) / 64] |= 1 << ((other - first) % 64);
                }
            }
            reached[task] = set;
            if dag.tasks[task].weight_rule == rule {
                sums[task] += weights.sum(&set);
            }
        }
    }
}

/// The weights of a band's tasks.
struct Band {
    weights: Vec<i64>,
    /// For each word the weight that all its tasks have, if they do: most files never set one, and then counting is enough.
    uniform: [Option<i64>; WORDS],
}

impl Band {
    fn new(dag: &Dag, first: usize) -> Self {
        let weights: Vec<i64> =
            dag.tasks[first..].iter().take(BAND).map(|task| i64::from(task.priority_weight)).collect();
        let mut uniform = [None; WORDS];
        for (word, of_word) in uniform.iter_mut().zip(weights.chunks(64)) {
            *word = of_word.first().copied().filter(|first| of_word.iter().all(|weight| weight == first));
        }
        Self { weights, uniform }
    }

    fn sum(&self, set: &[u64; WORDS]) -> i64 {
        let mut sum = 0;
        for (at, &word) in set.iter().enumerate() {
            sum += match self.uniform[at] {
                Some(weight) => weight * i64::from(word.count_ones()),
                None => self.sum_of_word(at * 64, word),
            };
        }
        sum
    }

    fn sum_of_word(&self, first: usize, mut word: u64) -> i64 {
        let mut sum = 0;
        while word != 0 {
            sum += self.weights[first + word.trailing_zeros() as usize];
            word &= word - 1;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dag::Task, operator::OperatorKind};

    fn task(id: usize, weight: i32, rule: WeightRule, upstream: &[usize]) -> Task {
        let mut task = Task::new(format!("t{id}"), OperatorKind::Empty, "EmptyOperator");
        task.priority_weight = weight;
        task.weight_rule = rule;
        task.upstream = upstream.iter().map(|id| format!("t{id}").into()).collect();
        task
    }

    /// What the definition says, one task at a time.
    fn by_definition(dag: &Dag, index: TaskIndex) -> i32 {
        let related = match dag.tasks[index].weight_rule {
            WeightRule::Absolute => Vec::new(),
            WeightRule::Downstream => dag.all_downstream(index),
            WeightRule::Upstream => dag.all_upstream(index),
        };
        let weight = |task: TaskIndex| i64::from(dag.tasks[task].priority_weight);
        let sum = related.into_iter().map(weight).sum::<i64>() + weight(index);
        sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32
    }

    #[test]
    fn a_diamond_counts_its_end_once() {
        for (rule, expected) in [
            (WeightRule::Downstream, [15, 10, 12, 8]),
            (WeightRule::Upstream, [1, 3, 5, 15]),
            (WeightRule::Absolute, [1, 2, 4, 8]),
        ] {
            let mut dag = Dag::new("d");
            dag.tasks =
                vec![task(0, 1, rule, &[]), task(1, 2, rule, &[0]), task(2, 4, rule, &[0]), task(3, 8, rule, &[1, 2])];
            assert_eq!([0, 1, 2, 3].map(|index| dag.effective_priority(index)), expected, "{rule:?}");
        }
    }

    #[test]
    fn sums_stop_at_32_bits() {
        for (weight, expected) in [(i32::MAX, i32::MAX), (i32::MIN, i32::MIN)] {
            let mut dag = Dag::new("d");
            let rule = WeightRule::Downstream;
            dag.tasks = vec![task(0, weight, rule, &[]), task(1, weight, rule, &[0])];
            assert_eq!(dag.effective_priority(0), expected);
        }
    }

    proptest::proptest! {
        /// More tasks than a band has, in any file order, with weights and rules mixed.
        #[test]
        fn all_at_once_equals_one_by_one(
            edges in proptest::collection::vec((0_usize..1_300, 0_usize..1_300), 0..3_000),
            weights in proptest::collection::vec(-3_i32..5, 1..5),
        ) {
            let rules = [WeightRule::Downstream, WeightRule::Upstream, WeightRule::Absolute, WeightRule::Downstream];
            let mut dag = Dag::new("d");
            dag.tasks = (0..1_300)
                .map(|id| task(id, weights[(id / 100) % weights.len()], rules[id % rules.len()], &[]))
                .collect();
            for (one, other) in edges {
                if one != other {
                    // By number, so that no cycle arises; reversed in the file, so that its order is not the graph's.
                    let (up, down) = (one.max(other), one.min(other));
                    dag.tasks[down].upstream.push(format!("t{up}").into());
                }
            }
            for index in (0..1_300).step_by(7) {
                proptest::prop_assert_eq!(dag.effective_priority(index), by_definition(&dag, index));
            }
        }
    }
}

//! A DAG as people read it from top to bottom: groups with their members below them, what comes first above what follows.

use std::collections::{BTreeSet, HashMap};

use crate::dag::{Dag, TaskGroup, TaskIndex};

/// One line of an outline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<'a> {
    pub node: Node<'a>,
    /// The id of the innermost group around it.
    pub parent: Option<&'a str>,
    /// How many groups are around it.
    pub depth: u32,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node<'a> {
    Task(TaskIndex),
    Group(&'a TaskGroup),
}

/// Every task and group. On each level an item comes after those that it depends on, else in file order; where groups depend
/// on each other in a circle (their tasks do not), the one with the earliest task comes first.
pub fn outline(dag: &Dag) -> Vec<Line<'_>> {
    let mut levels: HashMap<Option<&str>, Level<'_>> = HashMap::new();
    for group in dag.task_groups.values() {
        levels.entry(known_group(dag, group.parent.as_deref())).or_default().items.push(Item::new(Node::Group(group)));
    }
    for (index, task) in dag.tasks.iter().enumerate() {
        let level = levels.entry(known_group(dag, task.task_group.as_deref())).or_default();
        level.items.push(Item { first: dag.rank(index), ..Item::new(Node::Task(index)) });
    }
    for level in levels.values_mut() {
        level.places = level.items.iter().enumerate().map(|(place, item)| (item.node.key(), place)).collect();
    }
    let chains: Vec<Vec<Step<'_>>> = (0..dag.tasks.len()).map(|index| chain(dag, index)).collect();
    for (index, chain) in chains.iter().enumerate() {
        for (parent, key) in chain {
            let level = levels.get_mut(parent).expect("each step of a chain is on a level");
            let place = level.places[key];
            level.items[place].first = level.items[place].first.min(dag.rank(index));
        }
        for upstream in dag.upstream(index) {
            // The edge counts on the one level where the two are in different items.
            let apart = chains[upstream].iter().zip(chain).find(|(one, other)| one != other);
            if let Some(((parent, from), (_, to))) = apart {
                let level = levels.get_mut(parent).expect("each step of a chain is on a level");
                let (from, to) = (level.places[from], level.places[to]);
                level.items[to].after.insert(from);
            }
        }
    }
    let mut lines = Vec::with_capacity(dag.tasks.len() + dag.task_groups.len());
    write(&levels, None, 0, &mut lines);
    lines
}

/// A level and the item on it.
type Step<'a> = (Option<&'a str>, Key<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    Task(TaskIndex),
    Group(&'a str),
}

impl<'a> Node<'a> {
    fn key(&self) -> Key<'a> {
        match self {
            Self::Task(index) => Key::Task(*index),
            Self::Group(group) => Key::Group(&group.group_id),
        }
    }
}

/// What is in one group, or in none.
#[derive(Default)]
struct Level<'a> {
    items: Vec<Item<'a>>,
    places: HashMap<Key<'a>, usize>,
}

struct Item<'a> {
    node: Node<'a>,
    /// The topological place of its first task.
    first: usize,
    /// The items of its level that it depends on.
    after: BTreeSet<usize>,
}

impl<'a> Item<'a> {
    const fn new(node: Node<'a>) -> Self {
        Self { node, first: usize::MAX, after: BTreeSet::new() }
    }
}

impl Level<'_> {
    /// The places of its items in the order of display.
    fn order(&self) -> Vec<usize> {
        let mut behind: Vec<Vec<usize>> = vec![Vec::new(); self.items.len()];
        let mut waiting: Vec<usize> = Vec::with_capacity(self.items.len());
        for (place, item) in self.items.iter().enumerate() {
            item.after.iter().for_each(|before| behind[*before].push(place));
            waiting.push(item.after.len());
        }
        let key = |place: usize| (self.items[place].first, place);
        let mut ready: BTreeSet<(usize, usize)> =
            (0..self.items.len()).filter(|at| waiting[*at] == 0).map(key).collect();
        let mut left: BTreeSet<(usize, usize)> = (0..self.items.len()).map(key).collect();
        let mut order = Vec::with_capacity(self.items.len());
        while let Some(next) = ready.pop_first().or_else(|| left.first().copied()) {
            if !left.remove(&next) {
                continue;
            }
            order.push(next.1);
            for &place in &behind[next.1] {
                waiting[place] = waiting[place].saturating_sub(1);
                if waiting[place] == 0 {
                    ready.insert(key(place));
                }
            }
        }
        order
    }
}

/// A group that the DAG has; members of one that it lacks are on the outermost level.
fn known_group<'a>(dag: &'a Dag, group: Option<&'a str>) -> Option<&'a str> {
    group.filter(|id| dag.task_groups.contains_key(*id))
}

/// A task's groups from the outermost on, and the task, each with the level it is on.
fn chain(dag: &Dag, index: TaskIndex) -> Vec<Step<'_>> {
    let mut group = known_group(dag, dag.tasks[index].task_group.as_deref());
    let mut steps = vec![(group, Key::Task(index))];
    while let Some(id) = group {
        group = known_group(dag, dag.task_groups[id].parent.as_deref());
        steps.push((group, Key::Group(id)));
        if steps.len() > dag.task_groups.len() + 1 {
            break;
        }
    }
    steps.reverse();
    steps
}

fn write<'a>(
    levels: &HashMap<Option<&'a str>, Level<'a>>,
    parent: Option<&'a str>,
    depth: u32,
    lines: &mut Vec<Line<'a>>,
) {
    let Some(level) = levels.get(&parent) else { return };
    for place in level.order() {
        let node = level.items[place].node;
        lines.push(Line { node, parent, depth });
        if let Node::Group(group) = node {
            write(levels, Some(&group.group_id), depth + 1, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::yaml::{self, Settings};

    fn text(file: &str) -> String {
        let mut loaded = yaml::load("d.yaml", file.as_bytes(), &(), &Settings::new(DateTime::<Utc>::UNIX_EPOCH));
        assert_eq!(loaded.diagnostics, []);
        let dag = loaded.dags.remove(0).dag;
        let line = |line: &Line<'_>| {
            let name = match line.node {
                Node::Task(index) => dag.tasks[index].task_id.to_string(),
                Node::Group(group) => format!("[{}]", group.group_id),
            };
            format!("{}{name}", "  ".repeat(line.depth as usize))
        };
        outline(&dag).iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_group_stands_where_its_dependencies_put_it_with_its_members_below() {
        let yaml = "
tasks:
  end: {empty: , depends_on: load}
  start: {empty: }
task_groups:
  load:
    depends_on: start
    tasks:
      late: {empty: , depends_on: early}
      early: {empty: }
    task_groups:
      inner: {depends_on: late, tasks: {deep: {empty: }}}
";
        assert_eq!(text(yaml), "start\n[load]\n  load.early\n  load.late\n  [load.inner]\n    load.inner.deep\nend");
    }

    #[test]
    fn an_item_follows_another_although_one_of_its_tasks_depends_on_nothing() {
        let yaml = "
tasks:
  a: {empty: , depends_on: z}
  z: {empty: }
task_groups:
  g:
    tasks:
      free: {empty: }
      bound: {empty: , depends_on: a}
";
        assert_eq!(text(yaml), "z\na\n[g]\n  g.free\n  g.bound");
    }

    #[test]
    fn groups_in_a_circle_are_all_there() {
        let yaml = "
task_groups:
  g: {tasks: {a: {empty: }, d: {empty: , depends_on: c}}}
  h: {tasks: {b: {empty: , depends_on: a}, c: {empty: , depends_on: b}}}
";
        assert_eq!(text(yaml), "[g]\n  g.a\n  g.d\n[h]\n  h.b\n  h.c");
    }
}

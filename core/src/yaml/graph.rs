//! Dependencies between tasks and groups become edges between tasks.

use std::collections::{HashMap, HashSet};

use super::{
    Context,
    findings::related,
    flow::FlowEdge,
    groups::{Dependency, Members},
    node::Mark,
    suggest::did_you_mean,
};
use crate::{
    dag::{Dag, Task},
    ids::TaskId,
};

/// More edges than this are a mistake (two big groups after one another make the product of their sizes).
const MAX_EDGES: usize = 200_000;

/// A task or a group, by index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Task(usize),
    Group(usize),
}

/// What a dependency may name.
struct Names<'n> {
    /// Tasks and groups by their names in the file.
    items: HashMap<&'n str, Item>,
    /// Full ids, which are no names in the file, to those.
    short: HashMap<&'n str, &'n str>,
}

impl<'n> Names<'n> {
    fn new(members: &'n Members) -> Self {
        let groups = || members.groups.iter().enumerate();
        let tasks = || members.tasks.iter().enumerate();
        Self {
            items: groups()
                .map(|(index, group)| (&*group.name, Item::Group(index)))
                .chain(tasks().map(|(index, task)| (&*task.name, Item::Task(index))))
                .collect(),
            short: groups()
                .map(|(_, group)| (group.id.as_str(), &*group.name))
                .chain(tasks().map(|(_, task)| (task.id.as_str(), &*task.name)))
                .collect(),
        }
    }
}

/// What a file says about order, unresolved.
pub(super) struct Said {
    /// The dependencies of each declared task, in the order of the members.
    pub(super) tasks: Vec<Vec<Dependency>>,
    /// Of each group.
    pub(super) groups: Vec<Vec<Dependency>>,
    pub(super) flow: Vec<FlowEdge>,
    pub(super) sequential: bool,
}

/// What the upstreams of a DAG's tasks are made from.
pub(super) struct Edges {
    /// (upstream, downstream) → where it is said.
    marks: HashMap<(usize, usize), Mark>,
    upstream: Vec<Vec<usize>>,
    downstream: Vec<Vec<usize>>,
    setup: Vec<bool>,
    teardown: Vec<bool>,
    /// Per group: what the file says about it as a whole.
    groups: Vec<Relatives>,
}

/// Airflow's `upstream_task_ids` … of a group.
#[derive(Clone, Default)]
struct Relatives {
    upstream_tasks: Vec<usize>,
    downstream_tasks: Vec<usize>,
    upstream_groups: Vec<usize>,
    downstream_groups: Vec<usize>,
}

impl Context<'_> {
    /// Resolves every dependency. `built` are the tasks in the order of `members.tasks`; empty when not all could be read.
    pub(super) fn edges(&self, members: &Members, said: Said, built: &[Task]) -> Edges {
        let names = Names::new(members);
        let Said { mut tasks, mut groups, flow, sequential } = said;
        let written: Vec<bool> = tasks.iter().map(|dependencies| !dependencies.is_empty()).collect();
        for (from, to, mark) in flow {
            match names.items.get(to.as_str()) {
                Some(Item::Task(index)) => tasks[*index].push((from, mark)),
                Some(Item::Group(index)) => groups[*index].push((from, mark)),
                None => {
                    // Both ends may be wrong, and are said once each.
                    self.unknown(&to, mark, "the flow names", &names);
                    if !names.items.contains_key(from.as_str()) {
                        self.unknown(&from, mark, "the flow names", &names);
                    }
                }
            }
        }
        if sequential {
            for sequence in &members.sequences {
                let sequence: Vec<usize> =
                    sequence.iter().copied().filter(|index| *index < members.tasks.len()).collect();
                for pair in sequence.windows(2) {
                    if !written[pair[1]] {
                        tasks[pair[1]].push((members.tasks[pair[0]].name.to_string(), members.tasks[pair[1]].mark));
                    }
                }
            }
        }
        if let Some(trace) = &self.trace {
            let mut trace = trace.borrow_mut();
            trace.tasks.clone_from(&tasks);
            trace.groups.clone_from(&groups);
        }
        let count = members.tasks.len();
        let mut edges = Edges {
            marks: HashMap::new(),
            upstream: vec![Vec::new(); count],
            downstream: vec![Vec::new(); count],
            setup: (0..count).map(|index| built.get(index).is_some_and(|task| task.is_setup)).collect(),
            teardown: (0..count).map(|index| built.get(index).is_some_and(|task| task.is_teardown)).collect(),
            groups: vec![Relatives::default(); members.groups.len()],
        };
        // Tasks first, then groups, each in file order: what the first and last tasks of a group are depends on the edges set
        // so far, in Airflow, too.
        for (index, dependencies) in tasks.iter().enumerate() {
            self.findings.in_task(&members.tasks[index].id, || {
                for (name, mark) in dependencies {
                    self.connect(members, &names, name, Item::Task(index), *mark, &mut edges);
                }
            });
        }
        for (index, dependencies) in groups.iter().enumerate() {
            for (name, mark) in dependencies {
                self.connect(members, &names, name, Item::Group(index), *mark, &mut edges);
            }
        }
        edges
    }

    fn connect(&self, members: &Members, names: &Names<'_>, name: &str, to: Item, mark: Mark, edges: &mut Edges) {
        let (what, own) = match to {
            Item::Task(index) => {
                (format!("task `{}` depends on", members.tasks[index].name), &members.tasks[index].name)
            }
            Item::Group(index) => {
                (format!("group `{}` depends on", members.groups[index].name), &members.groups[index].name)
            }
        };
        let Some(from) = names.items.get(name).copied() else {
            self.unknown(name, mark, &what, names);
            return;
        };
        if from == to {
            self.findings.error_help(
                "self_dependency",
                mark,
                format!("{what} itself"),
                Some(format!("remove `{own}` from its own dependencies")),
            );
            return;
        }
        let sources = last_tasks(members, from, edges);
        let targets = first_tasks(members, to, edges);
        for (item, found) in [(from, &sources), (to, &targets)] {
            if let Item::Group(group) = item
                && found.is_empty()
            {
                self.findings.warning_help(
                    "empty_group_edge",
                    mark,
                    format!(
                        "the group `{}` has no tasks to wait for, so this connects nothing",
                        members.groups[group].name
                    ),
                    Some("put tasks into the group, or depend on a task".to_owned()),
                );
            }
        }
        if edges.marks.len().saturating_add(sources.len().saturating_mul(targets.len())) > MAX_EDGES {
            let message = format!("the DAG has more than {MAX_EDGES} dependencies");
            let help =
                "put an `empty` task between two groups: both depend on one task instead of on each other".to_owned();
            self.findings.error_help("invalid_value", mark, message, Some(help));
            return;
        }
        edges.relate(from, to, &targets);
        for &source in &sources {
            for &target in &targets {
                if source == target {
                    let message = format!("{what} `{name}`, and one is inside the other");
                    self.findings.error("self_dependency", mark, message);
                    return;
                }
                edges.add(source, target, mark);
            }
        }
    }

    fn unknown(&self, name: &str, mark: Mark, what: &str, names: &Names<'_>) {
        let help = match names.short.get(name) {
            Some(short) => Some(format!("members are named without their group: `{short}`")),
            // Every hint looks at every name: a file full of mistakes gets none.
            None if self.findings.error_count() > 20 => None,
            None => did_you_mean(name, names.items.keys().copied()),
        };
        self.findings.error_help("unknown_dependency", mark, format!("{what} `{name}`, which does not exist"), help);
    }

    /// Says where a DAG's graph runs in a circle, if it does.
    pub(super) fn check_cycle(&self, dag: &Dag, members: &Members, edges: &Edges) {
        let Err(cycle) = dag.check_acyclic() else { return };
        let index: HashMap<&str, usize> =
            members.tasks.iter().enumerate().map(|(index, task)| (task.id.as_str(), index)).collect();
        let mut ring: Vec<usize> = cycle.path.iter().skip(1).filter_map(|id| index.get(id.as_str()).copied()).collect();
        // Begin with the task that stands first in the file, so that the same circle is always told the same way.
        let first = (0..ring.len()).min_by_key(|&at| members.tasks[ring[at]].mark.line).unwrap_or(0);
        ring.rotate_left(first);
        let step = |at: usize| (ring[at], ring[(at + 1) % ring.len()]);
        let mark = |(from, to): (usize, usize)| edges.marks.get(&(from, to)).copied().unwrap_or(members.tasks[to].mark);
        let name = |task: usize| &members.tasks[task].id;
        let places = (0..ring.len())
            .map(|at| related(mark(step(at)), format!("`{}` before `{}`", name(step(at).0), name(step(at).1))))
            .collect();
        let path: Vec<&str> = ring.iter().chain(ring.first()).map(|&task| name(task).as_str()).collect();
        let into_first = (ring[ring.len() - 1], ring[0]);
        self.findings.error_related(
            "cycle",
            mark(into_first),
            format!("the tasks form a cycle: {}", path.join(" → ")),
            Some("remove one of these dependencies".to_owned()),
            places,
        );
    }
}

impl Edges {
    fn add(&mut self, from: usize, to: usize, mark: Mark) {
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.marks.entry((from, to)) {
            vacant.insert(mark);
            self.upstream[to].push(from);
            self.downstream[from].push(to);
        }
    }

    fn relate(&mut self, from: Item, to: Item, targets: &[usize]) {
        match (from, to) {
            (Item::Group(from), Item::Task(to)) => self.groups[from].downstream_tasks.push(to),
            (Item::Task(from), Item::Group(to)) => self.groups[to].upstream_tasks.push(from),
            (Item::Group(from), Item::Group(to)) => {
                self.groups[from].downstream_groups.push(to);
                self.groups[from].downstream_tasks.extend(targets);
                self.groups[to].upstream_groups.push(from);
            }
            (Item::Task(_), Item::Task(_)) => {}
        }
    }

    /// Writes what is known about groups as a whole into the DAG.
    pub(super) fn describe_groups(&self, members: &Members, dag: &mut Dag) {
        let tasks = |indices: &[usize]| {
            let mut ids: Vec<TaskId> = indices.iter().map(|&task| members.tasks[task].id.as_str().into()).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let groups = |indices: &[usize]| {
            let mut ids: Vec<String> = indices.iter().map(|&group| members.groups[group].id.clone()).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        for (group, relatives) in members.groups.iter().zip(&self.groups) {
            if let Some(found) = dag.task_groups.get_mut(&group.id) {
                found.upstream_tasks = tasks(&relatives.upstream_tasks);
                found.downstream_tasks = tasks(&relatives.downstream_tasks);
                found.upstream_groups = groups(&relatives.upstream_groups);
                found.downstream_groups = groups(&relatives.downstream_groups);
            }
        }
    }

    /// The upstream ids of a task, in file order.
    pub(super) fn upstream_ids(&self, index: usize, tasks: &[Task]) -> Vec<TaskId> {
        let mut found = self.upstream[index].clone();
        found.sort_unstable();
        found.into_iter().filter_map(|up| tasks.get(up).map(|task| task.task_id.clone())).collect()
    }
}

fn inside(members: &Members, item: Item) -> Vec<usize> {
    match item {
        Item::Task(index) => vec![index],
        Item::Group(group) => (0..members.tasks.len())
            .filter(|&task| {
                let mut at = members.tasks[task].group;
                while let Some(index) = at {
                    if index == group {
                        return true;
                    }
                    at = members.groups[index].parent;
                }
                false
            })
            .collect(),
    }
}

fn first_tasks(members: &Members, item: Item, edges: &Edges) -> Vec<usize> {
    let all = inside(members, item);
    let set: HashSet<usize> = all.iter().copied().collect();
    all.into_iter().filter(|&task| !edges.upstream[task].iter().any(|up| set.contains(up))).collect()
}

/// The tasks after which a group is done. Its teardowns do not hold up what follows (Airflow: `TaskGroup.get_leaves`): in their
/// place stand the tasks before them, their setups left out.
fn last_tasks(members: &Members, item: Item, edges: &Edges) -> Vec<usize> {
    let all = inside(members, item);
    if matches!(item, Item::Task(_)) {
        return all;
    }
    let set: HashSet<usize> = all.iter().copied().collect();
    let mut found: Vec<usize> = Vec::new();
    let mut seen = HashSet::new();
    let mut waiting: Vec<usize> =
        all.into_iter().filter(|&task| !edges.downstream[task].iter().any(|down| set.contains(down))).rev().collect();
    while let Some(task) = waiting.pop() {
        if !edges.teardown[task] {
            found.push(task);
            continue;
        }
        let before =
            edges.upstream[task].iter().copied().filter(|up| set.contains(up) && !edges.setup[*up] && seen.insert(*up));
        waiting.extend(before.collect::<Vec<_>>().into_iter().rev());
    }
    found.sort_unstable();
    found.dedup();
    found
}

//! How long buffers live, where launches are in loops.
//!
//! What is used in a step of a loop alone lives in that step, and every step has it at the same place.
//! What is used outside as well lives as long as the loop runs.

use crate::spread::{Asks, Node, Repeat, While};

/// What happens in a run, in order; the steps of a loop are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A launch.
    Launch(usize),
    /// The host reads something.
    Read,
    /// All launches before are over before any after it begins: where a step of a loop begins, after the
    /// last one, and around branches.
    Wait,
}

/// When buffers live.
pub(super) struct Lives {
    pub(super) events: Vec<Event>,
    /// Per event the buffers that live from then on, and those that live until then.
    pub(super) begin: Vec<Vec<usize>>,
    pub(super) end: Vec<Vec<usize>>,
    /// Per buffer whether it is used at all.
    pub(super) used: Vec<bool>,
}

/// A loop: its events, and the loop around it.
struct Loop {
    begin: usize,
    end: usize,
    around: Option<usize>,
    depth: usize,
}

/// Where a buffer is used: from one event to another, of which the innermost loop around all is known.
#[derive(Clone, Copy)]
struct Span {
    begin: usize,
    end: usize,
    inside: Option<usize>,
}

struct Walk<'a> {
    touched: &'a dyn Fn(usize) -> Vec<usize>,
    events: Vec<Event>,
    loops: Vec<Loop>,
    /// The loop around the next event.
    inside: Option<usize>,
    /// Per event which buffers it uses, in which loop.
    uses: Vec<(usize, usize, Option<usize>)>,
}

impl Lives {
    /// Of so many buffers; `touched` says which ones a launch uses, answers are told with theirs.
    pub(super) fn of<A>(nodes: &[Node<(usize, A)>], buffers: usize, touched: &dyn Fn(usize) -> Vec<usize>) -> Lives {
        let mut walk = Walk { touched, events: Vec::new(), loops: Vec::new(), inside: None, uses: Vec::new() };
        walk.all(nodes);
        let mut spans: Vec<Option<Span>> = vec![None; buffers];
        for (event, buffer, inside) in &walk.uses {
            let own = Span { begin: *event, end: *event, inside: *inside };
            spans[*buffer] = Some(spans[*buffer].map_or(own, |span| walk.join(span, own)));
        }
        let mut lives = Lives {
            begin: vec![Vec::new(); walk.events.len()],
            end: vec![Vec::new(); walk.events.len()],
            used: spans.iter().map(Option::is_some).collect(),
            events: walk.events,
        };
        for (buffer, span) in spans.iter().enumerate() {
            if let Some(Span { begin, end, .. }) = span {
                lives.begin[*begin].push(buffer);
                lives.end[*end].push(buffer);
            }
        }
        lives
    }
}

impl Walk<'_> {
    fn event(&mut self, event: Event) -> usize {
        self.events.push(event);
        self.events.len() - 1
    }

    fn read<A>(&mut self, (buffer, _): &(usize, A)) {
        let at = self.event(Event::Read);
        self.uses.push((at, *buffer, self.inside));
    }

    /// What is in a loop.
    fn inside(&mut self, body: impl FnOnce(&mut Self)) {
        let begin = self.event(Event::Wait);
        let depth = self.inside.map_or(0, |i| self.loops[i].depth + 1);
        self.loops.push(Loop { begin, end: begin, around: self.inside, depth });
        let own = self.loops.len() - 1;
        let around = self.inside.replace(own);
        body(self);
        self.inside = around;
        self.loops[own].end = self.event(Event::Wait);
    }

    fn all<A>(&mut self, nodes: &[Node<(usize, A)>]) {
        for node in nodes {
            match node {
                Node::Launches(range) => {
                    for launch in range.clone() {
                        let at = self.event(Event::Launch(launch));
                        let own = (self.touched)(launch);
                        self.uses.extend(own.into_iter().map(|buffer| (at, buffer, self.inside)));
                    }
                }
                Node::Repeat(Repeat { body, .. }) => self.inside(|w| w.all(body)),
                Node::While(While { cond, body, after, asks, .. }) => {
                    self.inside(|w| {
                        w.all(cond);
                        if let Asks::EveryStep(answer) = asks {
                            w.read(answer);
                        }
                        w.all(body);
                        if let Asks::AfterSteps(answer) = asks {
                            w.read(answer);
                        }
                    });
                    self.all(after);
                }
                Node::Switch(index, branches) => {
                    self.read(index);
                    for branch in branches {
                        self.event(Event::Wait);
                        self.all(branch);
                    }
                    self.event(Event::Wait);
                }
            }
        }
    }

    /// The span of both.
    fn join(&self, mut x: Span, mut y: Span) -> Span {
        let depth = |span: &Span| span.inside.map(|i| self.loops[i].depth);
        while x.inside != y.inside {
            let deeper = if depth(&x) >= depth(&y) { &mut x } else { &mut y };
            if let Some(inside) = deeper.inside {
                let Loop { begin, end, around, .. } = self.loops[inside];
                *deeper = Span { begin, end, inside: around };
            }
        }
        Span { begin: x.begin.min(y.begin), end: x.end.max(y.end), inside: x.inside }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A launch uses buffers as listed; expects from which event to which each buffer lives.
    #[track_caller]
    fn check(nodes: &[Node<(usize, ())>], launches: &[&[usize]], expect: &[(usize, usize)]) {
        let lives = Lives::of(nodes, expect.len(), &|launch| launches[launch].to_vec());
        let find = |events: &[Vec<usize>], buffer| events.iter().position(|at| at.contains(&buffer)).unwrap();
        let spans: Vec<_> = (0..expect.len()).map(|b| (find(&lives.begin, b), find(&lives.end, b))).collect();
        assert_eq!(spans, expect, "{:?}", lives.events);
    }

    fn repeat(body: Vec<Node<(usize, ())>>) -> Node<(usize, ())> {
        Node::Repeat(Repeat { counter: 0, length: 3, reverse: false, carries: true, body })
    }

    #[test]
    fn what_outlives_a_step_lives_as_long_as_the_loop() {
        // 0: fill; 1: the step begins; 2, 3: launches; 4: it ends; 5: take.
        let nodes = [Node::Launches(0..1), repeat(vec![Node::Launches(1..3)]), Node::Launches(3..4)];
        check(&nodes, &[&[0], &[0, 1], &[1, 2], &[2]], &[(0, 4), (2, 3), (1, 5)]);
        // In a loop in a loop: 0 (1 (2 launch) 3, launch) 5.
        let nodes = [repeat(vec![repeat(vec![Node::Launches(0..1)]), Node::Launches(1..2)])];
        check(&nodes, &[&[0, 1], &[1, 2]], &[(2, 2), (1, 4), (4, 4)]);
    }

    #[test]
    fn answers_are_read_and_branches_apart() {
        // 0: a launch; 1: read; 2: wait; 3: a launch; 4: wait; 5: a launch; 6: wait; 7: a launch.
        let branches = vec![vec![Node::Launches(1..2)], vec![Node::Launches(2..3)]];
        let nodes = [Node::Launches(0..1), Node::Switch((0, ()), branches), Node::Launches(3..4)];
        check(&nodes, &[&[0], &[1, 2], &[2], &[2]], &[(0, 1), (3, 3), (3, 7)]);
        // 0 (a launch, read, a launch) 4, a launch.
        let asks = Asks::EveryStep((0, ()));
        let [cond, body, after] = [0, 1, 2].map(|i| vec![Node::Launches(i..i + 1)]);
        let nodes = [Node::While(While { counter: 0, cond, body, after, asks })];
        check(&nodes, &[&[0, 1], &[1], &[1]], &[(1, 2), (0, 5)]);
    }
}

//! From nested steps to a flat program in which a journey is one position.

use std::collections::BTreeSet;

use perennial_types::{Channel, Currency, Purpose};

use super::read::{condition, late, purpose, slug};
use super::yaml::{Fields, Kind, Node, scalar};
use super::{DefinitionError, Message, Offer, Op, Until};
use crate::domain::duration::{self, DAY};
use crate::domain::expr;

type Result<T> = std::result::Result<T, DefinitionError>;

const STEPS: &[&str] = &["message", "offer", "wait", "wait_until", "branch", "split", "webhook", "exit"];
/// The most operations a campaign may compile to.
const MAX_OPS: usize = 500;

/// Compiles the steps of one campaign.
pub struct Compiler {
    currency: Currency,
    purpose: Purpose,
    send_late: bool,
    program: Vec<Op>,
    names: BTreeSet<String>,
    messages: usize,
}

impl Compiler {
    pub fn new(currency: Currency, purpose: Purpose, send_late: bool) -> Self {
        Self { currency, purpose, send_late, program: vec![], names: BTreeSet::new(), messages: 0 }
    }

    /// Compiles the list of steps.
    pub fn compile(mut self, node: Node) -> Result<Vec<Op>> {
        let line = node.line;
        self.list(node, "steps")?;
        if self.messages == 0 {
            let problem = "sends nothing: add a step such as - message: { template: welcome }";
            return Err(DefinitionError::new(line, "steps", problem));
        }
        Ok(self.program)
    }

    fn list(&mut self, node: Node, path: &str) -> Result<()> {
        let line = node.line;
        let Kind::List(steps) = node.kind else {
            return Err(DefinitionError::new(line, path, "a list of steps belongs here: begin each with -"));
        };
        for (position, step) in steps.into_iter().enumerate() {
            if self.program.len() > MAX_OPS {
                return Err(DefinitionError::new(step.line, path, "too many steps: split the campaign"));
            }
            self.step(step, &format!("{path}[{position}]"))?;
        }
        Ok(())
    }

    fn step(&mut self, node: Node, path: &str) -> Result<()> {
        let mut fields = Fields::of(node, path)?;
        let kinds: Vec<_> = STEPS.iter().copied().filter(|it| fields.has(it)).collect();
        match kinds[..] {
            ["message"] | ["message", "offer"] => self.message(&mut fields)?,
            ["webhook"] => self.webhook(&mut fields)?,
            ["wait"] => {
                let length = fields.read("wait", duration::parse)?.unwrap_or_default();
                self.program.push(Op::Wait(length));
            }
            ["wait_until"] => self.wait_until(&mut fields)?,
            ["branch"] => self.branch(&mut fields)?,
            ["split"] => self.split(&mut fields)?,
            ["exit"] => {
                let reason = fields.text("exit")?.unwrap_or_default();
                self.program.push(Op::Exit(reason));
            }
            ["offer"] => {
                let problem =
                    "an offer needs a message to carry it: add message: { template: … } to the same step";
                return Err(DefinitionError::new(fields.line, path, problem));
            }
            [] => {}
            _ => {
                let problem =
                    format!("does several things: write a step of its own for each of {}", kinds.join(", "));
                return Err(DefinitionError::new(fields.line, path, problem));
            }
        }
        let line = fields.line;
        fields.done(STEPS)?;
        if kinds.is_empty() {
            let problem = format!("says nothing to do: use one of {}", STEPS.join(", "));
            return Err(DefinitionError::new(line, path, problem));
        }
        Ok(())
    }

    fn message(&mut self, step: &mut Fields) -> Result<()> {
        let offer = match step.take("offer") {
            Some(node) => Some(self.offer(node, &step.path("offer"))?),
            None => None,
        };
        let path = step.path("message");
        let node = step.need("message", "name its template")?;
        let message = self.wish(node, &path, Channel::Email, self.purpose, offer)?;
        self.program.push(Op::Message(message));
        Ok(())
    }

    fn webhook(&mut self, step: &mut Fields) -> Result<()> {
        let path = step.path("webhook");
        let node = step.need("webhook", "name its template")?;
        // A webhook contacts a system, not the customer: caps and quiet hours are not for it.
        let message = self.wish(node, &path, Channel::Webhook, Purpose::Transactional, None)?;
        self.program.push(Op::Message(message));
        Ok(())
    }

    fn wish(
        &mut self,
        node: Node,
        path: &str,
        channel: Channel,
        purpose_default: Purpose,
        offer: Option<Offer>,
    ) -> Result<Message> {
        self.messages += 1;
        let line = node.line;
        let mut message = Message {
            step: String::new(),
            template: String::new(),
            channel,
            purpose: purpose_default,
            when: None,
            offer,
            expires: 3 * DAY,
            send_late: self.send_late,
        };
        let mut step = None;
        if let Kind::Scalar(_) = node.kind {
            message.template = scalar(&node, path, slug)?;
        } else {
            let mut fields = Fields::of(node, path)?;
            let template = fields.path("template");
            message.template =
                scalar(&fields.need("template", "name one, such as welcome")?, &template, slug)?;
            step = fields.read("step", slug)?;
            message.when = condition(&mut fields, "when", self.currency)?;
            if let Some(it) = fields.read("channel", channel_of)? {
                message.channel = it;
            }
            if let Some(it) = fields.read("purpose", purpose)? {
                message.purpose = it;
            }
            if let Some(it) = fields.read("expires", duration::parse)? {
                message.expires = it.max(duration::SECOND);
            }
            if let Some(it) = fields.read("late", late)? {
                message.send_late = it;
            }
            fields.done(&["template", "step", "when", "channel", "purpose", "expires", "late"])?;
        }
        if channel == Channel::Webhook {
            message.channel = Channel::Webhook;
        }
        message.step = step.clone().unwrap_or_else(|| self.unused(&message.template));
        if !self.names.insert(message.step.clone()) {
            let problem = format!("the step {} is there already: give it another name", message.step);
            return Err(DefinitionError::new(line, path, problem));
        }
        Ok(message)
    }

    fn unused(&self, template: &str) -> String {
        let mut name = template.to_owned();
        let mut number = 2;
        while self.names.contains(&name) {
            name = format!("{template}-{number}");
            number += 1;
        }
        name
    }

    fn offer(&self, node: Node, path: &str) -> Result<Offer> {
        let mut fields = Fields::of(node, path)?;
        let coupon_path = fields.path("coupon");
        let coupon =
            scalar(&fields.need("coupon", "name the offer, such as free-shipping")?, &coupon_path, slug)?;
        let valid = fields.read("valid", duration::parse)?.unwrap_or(0);
        let written = fields.read("when", |it| {
            let expr = expr::check_offer(it, self.currency).map_err(|error| error.to_string())?;
            Ok((expr, it.to_owned()))
        })?;
        fields.done(&["coupon", "valid", "when"])?;
        let (when, when_text) = written.map_or((None, String::new()), |(expr, text)| (Some(expr), text));
        Ok(Offer { coupon, valid, when, when_text, terms: None })
    }

    fn wait_until(&mut self, step: &mut Fields) -> Result<()> {
        let path = step.path("wait_until");
        let mut fields = Fields::of(step.need("wait_until", "say what for")?, &path)?;
        let event = fields.text("event")?;
        let filter = condition(&mut fields, "where", self.currency)?;
        let until = match (event, fields.text("segment")?, fields.text("stage")?) {
            (Some(event), None, None) => Until::Event(event, filter),
            (None, Some(segment), None) => Until::Segment(segment),
            (None, None, Some(stage)) => Until::Stage(stage),
            _ => {
                let problem = "name exactly one of event, segment and stage";
                return Err(DefinitionError::new(fields.line, &path, problem));
            }
        };
        let timeout_path = fields.path("timeout");
        let timeout = scalar(
            &fields.need("timeout", "say how long to wait, such as 3d")?,
            &timeout_path,
            duration::parse,
        )?;
        let (then, otherwise) = (fields.take("then"), fields.take("else"));
        fields.done(&["event", "where", "segment", "stage", "timeout", "then", "else"])?;
        let at = self.program.len();
        self.program.push(Op::WaitUntil { until, timeout, otherwise: 0 });
        self.arms(at, then, otherwise, &path)
    }

    fn branch(&mut self, step: &mut Fields) -> Result<()> {
        let path = step.path("branch");
        let mut fields = Fields::of(step.need("branch", "write when, then and else")?, &path)?;
        let Some(when) = condition(&mut fields, "when", self.currency)? else {
            return Err(DefinitionError::new(
                fields.line,
                &fields.path("when"),
                "is missing: write the condition",
            ));
        };
        let (then, otherwise) = (fields.take("then"), fields.take("else"));
        fields.done(&["when", "then", "else"])?;
        let at = self.program.len();
        self.program.push(Op::Branch { when, otherwise: 0 });
        self.arms(at, then, otherwise, &path)
    }

    /// Compiles both ways out of the operation `at`, and joins them.
    fn arms(&mut self, at: usize, then: Option<Node>, other: Option<Node>, path: &str) -> Result<()> {
        if let Some(then) = then {
            self.list(then, &format!("{path}.then"))?;
        }
        let jump = self.program.len();
        self.program.push(Op::Jump(0));
        let target = self.program.len();
        if let Some(other) = other {
            self.list(other, &format!("{path}.else"))?;
        }
        self.program[jump] = Op::Jump(self.program.len());
        if let Op::WaitUntil { otherwise, .. } | Op::Branch { otherwise, .. } = &mut self.program[at] {
            *otherwise = target;
        }
        Ok(())
    }

    fn split(&mut self, step: &mut Fields) -> Result<()> {
        let path = step.path("split");
        let mut fields = Fields::of(step.need("split", "write name and arms")?, &path)?;
        let name = fields.read("name", slug)?.unwrap_or_else(|| format!("split-{}", self.program.len()));
        let arms = fields.need("arms", "list at least two, each with weight and steps")?;
        fields.done(&["name", "arms"])?;
        let line = arms.line;
        let arms_path = format!("{path}.arms");
        if !self.names.insert(format!("split {name}")) {
            return Err(DefinitionError::new(line, &path, "another split has this name: give it its own"));
        }
        let Kind::List(arms) = arms.kind else {
            return Err(DefinitionError::new(line, &arms_path, "a list of arms belongs here"));
        };
        if !(2..=10).contains(&arms.len()) {
            return Err(DefinitionError::new(line, &arms_path, "two to ten arms belong here"));
        }
        let at = self.program.len();
        self.program.push(Op::Split { name: name.clone(), arms: vec![] });
        let (mut found, mut jumps, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for (position, arm) in arms.into_iter().enumerate() {
            let path = format!("{arms_path}[{position}]");
            let mut fields = Fields::of(arm, &path)?;
            let weight = fields
                .read("weight", |it| match it.trim_end_matches('%').parse::<f64>() {
                    Ok(weight) if weight > 0.0 && weight.is_finite() => Ok(weight),
                    _ => Err(format!("{it:?} is no weight: use a number above 0")),
                })?
                .unwrap_or(1.0);
            let steps = fields.take("steps");
            fields.done(&["weight", "steps"])?;
            sum += weight;
            found.push((sum, self.program.len()));
            if let Some(steps) = steps {
                self.list(steps, &format!("{path}.steps"))?;
            }
            jumps.push(self.program.len());
            self.program.push(Op::Jump(0));
        }
        let end = self.program.len();
        jumps.into_iter().for_each(|it| self.program[it] = Op::Jump(end));
        let arms = found.into_iter().map(|(upto, target)| (upto / sum, target)).collect();
        self.program[at] = Op::Split { name, arms };
        Ok(())
    }
}

fn channel_of(text: &str) -> std::result::Result<Channel, String> {
    Channel::parse(text)
        .ok_or_else(|| format!("{text:?} is not a channel: use email, sms, push, webhook or on_site"))
}

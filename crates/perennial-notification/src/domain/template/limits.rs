//! What one rendering may cost. Work is counted in turns of loops and in characters, never in seconds: the same
//! template with the same data always ends the same way.

use std::fmt;
use std::io::{self, Write};

use liquid_core::model::{Value, ValueView};
use liquid_core::parser::{FilterArguments, ParameterReflection};
use liquid_core::{
    Error, Expression, Filter, FilterReflection, Language, ParseFilter, ParseTag, Renderable, Result,
    Runtime, TagReflection, TagTokenIter,
};

/// Turns of all loops of one rendering together.
pub const MAX_TURNS: usize = 10_000;
/// Characters walked through in loops and put out, of one rendering.
pub const MAX_WORK: usize = 8 << 20;
/// Bytes of one rendered part.
pub const MAX_OUTPUT: usize = 1 << 20;
/// Bytes of one value that a template keeps (`assign`) or a filter makes.
pub const MAX_VALUE: usize = 64 << 10;

/// What a rendering has used so far, and whether it stopped itself.
#[derive(Debug, Default)]
pub struct Meter {
    turns: usize,
    work: usize,
    /// Why the template refused to be sent.
    pub stopped: Option<String>,
    /// Which limit was passed.
    pub exceeded: Option<String>,
}

impl Meter {
    fn charge(&mut self, turns: usize, work: usize) -> Result<()> {
        self.turns += turns;
        self.work = self.work.saturating_add(work);
        let passed = if self.turns > MAX_TURNS {
            format!("its loops turn more than {MAX_TURNS} times")
        } else if self.work > MAX_WORK {
            format!("it takes more than {MAX_WORK} steps")
        } else {
            return Ok(());
        };
        self.exceeded = Some(passed.clone());
        Err(Error::with_msg(passed))
    }
}

/// Refuses a value larger than a template may hold.
pub fn bounded(value: Value, runtime: &dyn Runtime) -> Result<Value> {
    let size = size_of(&value);
    if size > MAX_VALUE {
        let passed = format!("it makes a value larger than {MAX_VALUE} bytes");
        runtime.registers().get_mut::<Meter>().exceeded = Some(passed.clone());
        return Err(Error::with_msg(passed));
    }
    Ok(value)
}

fn size_of(value: &Value) -> usize {
    match value {
        Value::Scalar(it) => it.to_kstr().len(),
        Value::Array(items) => items.iter().map(|it| size_of(it) + 16).sum(),
        Value::Object(object) => object.iter().map(|(key, it)| key.len() + size_of(it) + 16).sum(),
        _ => 0,
    }
}

/// A writer that takes no more than [`MAX_OUTPUT`].
#[derive(Default)]
pub struct Output {
    /// What was written.
    pub bytes: Vec<u8>,
    /// Something did not fit.
    pub full: bool,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_OUTPUT {
            self.full = true;
            return Err(io::Error::other("full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `{% __turn LENGTH %}`: put by the scanner at the head of every loop's body.
#[derive(Clone, Debug)]
pub struct TurnTag;

impl TagReflection for TurnTag {
    fn tag(&self) -> &'static str {
        "__turn"
    }
    fn description(&self) -> &'static str {
        "counts one turn of a loop"
    }
}

impl ParseTag for TurnTag {
    fn parse(&self, mut arguments: TagTokenIter<'_>, _: &Language) -> Result<Box<dyn Renderable>> {
        let length = arguments.expect_next("length expected")?;
        Ok(Box::new(Turn(length.as_str().parse().unwrap_or(MAX_WORK))))
    }
    fn reflection(&self) -> &dyn TagReflection {
        self
    }
}

#[derive(Debug)]
struct Turn(usize);

impl Renderable for Turn {
    fn render_to(&self, _: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        runtime.registers().get_mut::<Meter>().charge(1, self.0)
    }
}

/// `{% stop "reason" %}`: this message is not to be sent.
#[derive(Clone, Debug)]
pub struct StopTag;

impl TagReflection for StopTag {
    fn tag(&self) -> &'static str {
        "stop"
    }
    fn description(&self) -> &'static str {
        "refuses to send this message, with a reason"
    }
}

impl ParseTag for StopTag {
    fn parse(&self, mut arguments: TagTokenIter<'_>, _: &Language) -> Result<Box<dyn Renderable>> {
        let reason = arguments.expect_next("stop needs a reason: {% stop \"nothing in the cart\" %}")?;
        let reason = reason.expect_value().into_result()?;
        arguments.expect_nothing()?;
        Ok(Box::new(Stop(reason)))
    }
    fn reflection(&self) -> &dyn TagReflection {
        self
    }
}

#[derive(Debug)]
struct Stop(Expression);

impl Renderable for Stop {
    fn render_to(&self, _: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        let reason: String = self.0.evaluate(runtime)?.to_kstr().chars().take(300).collect();
        runtime.registers().get_mut::<Meter>().stopped = Some(reason);
        Err(Error::with_msg("stopped"))
    }
}

/// What a filter of ours does with its input and evaluated arguments.
pub type Run = fn(&dyn ValueView, &[Value], &dyn Runtime) -> Result<Value>;

/// A filter of ours.
#[derive(Clone)]
pub struct Own {
    /// Its name.
    pub name: &'static str,
    /// How many arguments it takes at most.
    pub most: usize,
    /// What it does.
    pub run: Run,
}

impl FilterReflection for Own {
    fn name(&self) -> &str {
        self.name
    }
    fn description(&self) -> &str {
        ""
    }
    fn positional_parameters(&self) -> &'static [ParameterReflection] {
        &[]
    }
    fn keyword_parameters(&self) -> &'static [ParameterReflection] {
        &[]
    }
}

impl ParseFilter for Own {
    fn parse(&self, arguments: FilterArguments<'_>) -> Result<Box<dyn Filter>> {
        let FilterArguments { positional, mut keyword } = arguments;
        let arguments: Vec<_> = positional.collect();
        if arguments.len() > self.most || keyword.next().is_some() {
            return Err(Error::with_msg(format!("{} takes at most {} arguments", self.name, self.most)));
        }
        Ok(Box::new(Call { name: self.name, arguments, run: self.run }))
    }
    fn reflection(&self) -> &dyn FilterReflection {
        self
    }
}

struct Call {
    name: &'static str,
    arguments: Vec<Expression>,
    run: Run,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Filter for Call {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<Value> {
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for it in &self.arguments {
            arguments.push(it.evaluate(runtime)?.into_owned());
        }
        (self.run)(input, &arguments, runtime)
    }
}

/// Counts what is put out.
pub fn count_output(length: usize, runtime: &dyn Runtime) -> Result<()> {
    runtime.registers().get_mut::<Meter>().charge(0, length + 16)
}

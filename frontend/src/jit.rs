//! The doors from arrays to traced functions: [`jit`], [`eager`], and what they are made of.

use crate::device::{Device, Fusion, Options, Ready};
use crate::function::{Args, Function};
use crate::memory::Memory;
use crate::nans::Nans;
use crate::raise;
use crate::tensor::Tensor;
use crate::trace::{self, Traced as Trace};
use crate::tree::{Flat, Outline, Parts, Structure, Traced, Tree};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Aval, Error, Program, Result, Span};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

/// The function compiled: a function of arrays that traces `f` when it first meets arguments of
/// some types, compiles what was recorded, and runs the compiled program from then on.
///
/// It is called like a function, with a reference per argument, and gives a `Result`.
///
/// ```
/// use egrad::{Array, Tensor, jit};
/// # fn main() -> egrad::Result<()> {
/// let f = jit(|x: Tensor, y: Tensor| x.sin() * y);
/// let z = f(&Array::from(0.0f32), &Array::from(2.0f32))?;
/// assert_eq!(z.item::<f32>()?, 0.0);
///
/// let e = f(&Array::from(0.0f32), &Array::from(2i32)).unwrap_err();
/// assert!(e.to_string().contains("`mul` takes operands of one type, not f32[] and i32[]"));
/// # Ok(()) }
/// ```
///
/// What `f` does beside recording happens while it is traced, not in later calls; arrays it
/// captures become constants of the compiled program.
///
/// Inside traced code a jitted function is called as `f.call((x, y))`, and can be given to `grad`
/// and `vmap`. The call is then part of what is traced, and what becomes of it is the compiler's
/// choice ([`Options::calls`](crate::Options) of the outermost `jit`): inlined, or compiled by itself
/// and shared by all that call it.
///
/// ```
/// use egrad::{Array, Calls, Options, Tensor, jit, vmap};
/// let square = jit(|x: Tensor| x * x);
/// let dispatch = Options { calls: Calls::Dispatch, ..Options::default() };
/// let squares = jit(vmap(square, 0)).options(dispatch);
/// let y = squares(&Array::from_vec(vec![1.0f32, 2.0, 3.0], [3]).unwrap()).unwrap();
/// assert_eq!(y.as_slice::<f32>().unwrap(), [1.0, 4.0, 9.0]);
/// ```
#[track_caller]
pub fn jit<F, A>(f: F) -> Jit<F, A>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    Jit::new(f, Options::default(), Mode::Compiled, Span::here())
}

/// The function run op by op: every call traces it anew and dispatches each primitive to the
/// device as a kernel of its own, as if there were no `jit`. The kernels are compiled again when what
/// is traced has changed.
///
/// ```
/// use egrad::{Array, Tensor, eager};
/// let f = eager(|x: Tensor| x + 1);
/// assert_eq!(f(&Array::from(1.0f32)).unwrap().item::<f32>().unwrap(), 2.0);
/// ```
#[track_caller]
pub fn eager<F, A>(f: F) -> Jit<F, A>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    Jit::new(f, Options::default(), Mode::OpByOp, Span::here())
}

/// A function of arrays: what [`jit`] and [`eager`] return.
///
/// It derefs to `dyn Fn(&A, &B, …) -> Result<O>`, so that it is called like a function, and it
/// implements [`Function`], so that transforms take it and traced code calls it by `.call((x,))`.
pub struct Jit<F, A: Args>
where
    F: Function<A>,
    F::Output: Traced,
{
    state: Rc<State<F, A>>,
    run: Box<A::RefFn<Result<<F::Output as Tree>::Arrays>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Compiled,
    OpByOp,
}

struct State<F, A> {
    f: F,
    mode: Mode,
    /// Where the door was made.
    span: Span,
    cache: RefCell<Cache>,
    args: PhantomData<fn(A)>,
}

/// Compiled programs by the types of their arguments.
struct Cache {
    options: Options,
    /// The one used last: most calls ask for it again.
    last: Option<Arc<Core>>,
    all: HashMap<(Vec<Aval>, Structure), Arc<Core>>,
}

/// A compiled program.
#[derive(Clone)]
struct Core {
    /// The avals of the arguments' leaves, and the structure.
    avals: Vec<Aval>,
    structure: Structure,
    /// The same for people.
    outline: Outline,
    /// The result's structure.
    out: Structure,
    /// Arrays the function captured, for the program's last parameters.
    hidden: Vec<Array>,
    program: Program,
    ready: Ready,
    memory: Memory,
    /// The function that searches for NaN.
    nans: Option<Nans>,
}

impl Core {
    /// The same with other captured arrays.
    fn with(&self, hidden: Vec<Array>) -> Core {
        Core { hidden, ..self.clone() }
    }

    #[inline]
    fn takes(&self, args: &Flat<'_, Array>) -> bool {
        args.leaves.len() == self.avals.len()
            && args.structure == self.structure
            && args.leaves.iter().zip(&self.avals).all(|(x, aval)| x.aval() == aval)
    }

    #[inline]
    fn run(&self, args: &[&Array]) -> Result<egrad_ir::kernel::Run> {
        if self.hidden.is_empty() {
            return self.run_on(args);
        }
        let inputs: SmallVec<[&Array; 16]> = args.iter().copied().chain(&self.hidden).collect();
        self.run_on(&inputs)
    }

    #[inline]
    fn run_on(&self, inputs: &[&Array]) -> Result<egrad_ir::kernel::Run> {
        self.memory.check(&self.program.entry().name)?;
        let run = self.ready.run(inputs)?;
        if let Some(nans) = &self.nans {
            nans.check(inputs, &run.outputs)?;
        }
        Ok(run)
    }
}

impl<F, A> State<F, A>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    /// The program for arguments like these.
    #[inline]
    fn find(&self, args: &Flat<'_, Array>) -> Result<Arc<Core>> {
        if let Some(last) = &self.cache.borrow().last
            && last.takes(args)
        {
            return Ok(Arc::clone(last));
        }
        self.find_or_compile(args)
    }

    #[cold]
    fn find_or_compile(&self, args: &Flat<'_, Array>) -> Result<Arc<Core>> {
        let key = (args.leaves.iter().map(|x| x.aval().clone()).collect::<Vec<_>>(), args.structure.clone());
        let known = self.cache.borrow().all.get(&key).cloned();
        let core = match (known, self.mode) {
            (Some(core), Mode::Compiled) => core,
            (known, _) => {
                let traced = record::<F, A>(&self.f, &key.0, &key.1, self.span)?;
                match known.filter(|core| core.program == traced.program && core.out == traced.extra.0) {
                    Some(core) if traced.hidden.is_empty() => return Ok(core),
                    Some(core) => return Ok(Arc::new(core.with(traced.hidden))),
                    None => Arc::new(self.compile(traced, &key.0, &key.1)?),
                }
            }
        };
        let mut cache = self.cache.borrow_mut();
        cache.all.insert(key, Arc::clone(&core));
        if self.mode == Mode::Compiled {
            cache.last = Some(Arc::clone(&core));
        }
        Ok(core)
    }

    fn compile(&self, traced: Trace<(Structure, Outline)>, avals: &[Aval], structure: &Structure) -> Result<Core> {
        let Trace { program, hidden, extra: (out, outline) } = traced;
        let options = self.cache.borrow().options.clone();
        let fusion = match self.mode {
            Mode::Compiled => Fusion::Search,
            Mode::OpByOp => Fusion::Off,
        };
        let ready = Ready::new(&program, &options, fusion).map_err(|e| e.at(self.span))?;
        let memory = Memory::of(&program, &ready, &options);
        let nans = options.debug_nans.then(|| Nans::new(&program, avals.len())).transpose()?;
        let (avals, structure) = (avals.to_vec(), structure.clone());
        Ok(Core { avals, structure, outline, out, hidden, program, ready, memory, nans })
    }
}

/// Traces a function for arguments of these avals.
fn record<F, A>(f: &F, avals: &[Aval], structure: &Structure, span: Span) -> Result<Trace<(Structure, Outline)>>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    let params = avals.iter().map(|aval| (aval.clone(), span)).collect();
    trace::outermost(trace::name_of::<F>(), params, span, |params| {
        let mut parts = Parts::new(params.iter().copied().collect(), structure);
        let args = A::build(&mut parts);
        if parts.left() > 0 {
            let m =
                format!("the function's arguments have {} leaves, not {}", params.len() - parts.left(), params.len());
            raise::throw(Error::tree(m).at(span));
        }
        let outline = Outline::of(&args);
        let out = f.call_at(args, span);
        let flat = Flat::of(&out);
        let tensors: Vec<Tensor> = flat.leaves.iter().map(|t| **t).collect();
        (tensors, (flat.structure, outline))
    })
}

impl<F, A> Jit<F, A>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    fn new(f: F, options: Options, mode: Mode, span: Span) -> Jit<F, A> {
        let cache = RefCell::new(Cache { options, last: None, all: HashMap::new() });
        let state = Rc::new(State { f, mode, span, cache, args: PhantomData });
        let inner = Rc::clone(&state);
        let run = A::by_ref(move |args: Flat<'_, Array>| {
            let core = inner.find(&args)?;
            let run = core.run(&args.leaves)?;
            Ok(<F::Output as Tree>::Arrays::build(&mut Parts::new(run.outputs, &core.out)))
        });
        Jit { state, run }
    }

    /// The same with these options. What was compiled before is forgotten.
    #[must_use]
    pub fn options(self, options: Options) -> Jit<F, A> {
        *self.state.cache.borrow_mut() = Cache { options, last: None, all: HashMap::new() };
        self
    }

    /// The same on this device. What was compiled before is forgotten.
    #[must_use]
    pub fn device(self, device: Device) -> Jit<F, A> {
        let options = Options { device, ..self.state.cache.borrow().options.clone() };
        self.options(options)
    }

    /// How many compiled programs there are, one for each type of arguments met.
    pub fn compiled(&self) -> usize {
        self.state.cache.borrow().all.len()
    }

    /// Compiles the function for arguments like these, and nothing else: the result can be sent to
    /// other threads and called from many at once. `args` is a tuple of the arguments.
    ///
    /// ```
    /// use egrad::{Array, Tensor, jit};
    /// # fn main() -> egrad::Result<()> {
    /// let x = Array::from(3.0f32);
    /// let f = jit(|x: Tensor| x * x).compile(&(x.clone(),))?;
    /// let y = std::thread::spawn(move || f.call(&(x,))).join().unwrap()?;
    /// assert_eq!(y.item::<f32>()?, 9.0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Whatever tracing the function and compiling what it recorded give.
    pub fn compile(&self, args: &A::Arrays) -> Result<Compiled<A::Arrays, <F::Output as Tree>::Arrays>> {
        Ok(Compiled { core: self.state.find(&Flat::of(args))?, types: PhantomData })
    }

    /// Runs the function and reports on the run. `args` is a tuple of the arguments.
    ///
    /// # Errors
    /// As calling it.
    pub fn run(&self, args: &A::Arrays) -> Result<(<F::Output as Tree>::Arrays, Report)> {
        self.compile(args)?.run(args)
    }
}

impl<F, A> Deref for Jit<F, A>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    type Target = A::RefFn<Result<<F::Output as Tree>::Arrays>>;
    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.run
    }
}

impl<F, A> Function<A> for Jit<F, A>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    type Output = F::Output;
    #[track_caller]
    fn call(&self, args: A) -> F::Output {
        self.call_at(args, Span::here())
    }
    #[track_caller]
    fn call_at(&self, args: A, at: Span) -> F::Output {
        crate::transform::call::<F, A>(&self.state.f, &args, at)
    }
}

impl<F, A> fmt::Debug for Jit<F, A>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jit({}, {} compiled)", trace::name_of::<F>(), self.compiled())
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where it ran.
    pub device: Device,
    /// How many kernels the device ran; on the interpreter, how many primitives.
    pub dispatches: usize,
}

/// A function compiled for arguments of certain types: made by [`Jit::compile`], `Send`, `Sync`
/// and cheap to clone.
pub struct Compiled<Args, Out> {
    core: Arc<Core>,
    types: PhantomData<fn(Args) -> Out>,
}

impl<Args, Out> Clone for Compiled<Args, Out> {
    fn clone(&self) -> Self {
        Compiled { core: Arc::clone(&self.core), types: PhantomData }
    }
}

impl<Args, Out> Compiled<Args, Out>
where
    Args: Tree<Leaf = Array>,
    Out: Tree<Leaf = Array>,
{
    /// Runs it. `args` is a tuple of the arguments.
    ///
    /// # Errors
    /// [`Error::Tree`], [`Error::Shape`] or [`Error::Dtype`] if the arguments are not like those it
    /// was compiled for, and whatever the device gives.
    #[inline]
    pub fn call(&self, args: &Args) -> Result<Out> {
        self.run(args).map(|(out, _)| out)
    }

    /// Runs it and reports on the run.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    #[inline]
    pub fn run(&self, args: &Args) -> Result<(Out, Report)> {
        let flat = Flat::of(args);
        if !self.core.takes(&flat) {
            return Err(self.mismatch(args));
        }
        let run = self.core.run(&flat.leaves)?;
        let report = Report { device: self.device(), dispatches: run.dispatches };
        Ok((Out::build(&mut Parts::new(run.outputs, &self.core.out)), report))
    }

    #[cold]
    fn mismatch(&self, args: &Args) -> Error {
        let flat = Flat::of(args);
        let wrong = flat.leaves.iter().zip(&self.core.avals).position(|(x, aval)| x.aval() != aval);
        match wrong {
            Some(i) if flat.structure == self.core.structure => {
                let (want, have) = (&self.core.avals[i], flat.leaves[i].aval());
                let what = crate::transform::argument(&crate::tree::paths(args)[i]);
                let m = format!("the function was compiled for {what} of type {want}, not {have}");
                if want.dtype == have.dtype { Error::shape(m) } else { Error::dtype(m) }
            }
            Some(_) | None => self.core.outline.mismatch("the function was compiled for", &Outline::of(args)),
        }
    }
}

impl<Args, Out> Compiled<Args, Out> {
    /// Where it runs.
    pub fn device(&self) -> Device {
        self.core.ready.device()
    }

    /// What was traced.
    pub fn program(&self) -> &Program {
        &self.core.program
    }

    /// The kernels it runs; `None` on the interpreter, which has none.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.core.ready.schedule()
    }

    /// About how many bytes a run takes at most at one time, inputs and results included.
    pub fn memory(&self) -> usize {
        self.core.memory.bytes()
    }

    /// The addresses of the machine code it runs, that of the functions it calls included: functions
    /// that are called are compiled once, so programs that call the same share addresses. Empty where
    /// there is no such code.
    pub fn code(&self) -> Vec<usize> {
        self.core.ready.code()
    }

    /// What a stage of the device's compilation looks like, one text per kernel: `clif`,
    /// `assembly`, `spirv`. `None` if the device has no such stage.
    pub fn listing(&self, stage: &str) -> Option<Vec<String>> {
        self.core.ready.listing(stage)
    }
}

impl<Args, Out> fmt::Debug for Compiled<Args, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compiled({}, {:?} on {})", self.core.program.entry().name, self.core.avals, self.device())
    }
}

/// The program that a function records for arguments like these, which is not compiled. `args` is
/// a tuple of the arguments.
///
/// The program's last function has a parameter per leaf of the arguments, then one per array that
/// the function captures.
///
/// ```
/// use egrad::{Array, Tensor, grad, trace};
/// let x = Array::from(1.0f32);
/// let program = trace(grad(|x: Tensor| x.sin()), &(x,)).unwrap();
/// assert_eq!(program.functions().len(), 2);
/// ```
///
/// # Errors
/// What the function's operators give.
#[track_caller]
pub fn trace<F, A>(f: F, args: &A::Arrays) -> Result<Program>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    let flat = Flat::of(args);
    let avals: Vec<Aval> = flat.leaves.iter().map(|x| x.aval().clone()).collect();
    Ok(record::<F, A>(&f, &avals, &flat.structure, Span::here())?.program)
}

/// As [`trace`], for arguments of these types, one per leaf.
///
/// ```
/// use egrad::{Aval, Dtype, Tensor, trace_avals};
/// let program = trace_avals(|x: Tensor, y: Tensor| x * y, &[Aval::new(Dtype::F32, [1000]), Aval::new(Dtype::F32, [])]);
/// assert_eq!(program.unwrap().entry().result_avals(), [Aval::new(Dtype::F32, [1000])]);
/// ```
///
/// # Errors
/// As [`trace`]; [`Error::Tree`] if the number of types is wrong, or if the arguments hold a `Vec`,
/// an `Option` or whatever else has structure that types don't say.
#[track_caller]
pub fn trace_avals<F, A>(f: F, avals: &[Aval]) -> Result<Program>
where
    F: Function<A>,
    A: Args,
    F::Output: Traced,
{
    Ok(record::<F, A>(&f, avals, &Structure::new(), Span::here())?.program)
}

//! The command line of egrad: see [`cli`].

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}

//! Durable workflows made of Rust [`Step`] structs.
//!
//! The result of every step is recorded before the next one starts, so a crash, a deploy or an outage costs at most the
//! steps in flight. It needs no server and replays no workflow's code, so it has no determinism rules.
//!
//! ```
//! use std::sync::Arc;
//!
//! use stepwell::contract::MemoryBackend;
//! use stepwell::prelude::*;
//!
//! # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
//! let greet = Workflow::named("greet")
//!     .step_fn("compose", |_ctx: StepContext, name: String| async move { Ok(format!("good day, {name}")) })
//!     .build()?;
//! // A program opens its store by a URL, with `stepwell_backends::open("file:./data")`.
//! let store = Arc::new(MemoryBackend::new());
//! let engine = Engine::builder(store).register(greet).start().await?;
//! let greeting: String = engine.start_run("greet", "greet-ada", "ada").await?.result().await?;
//! assert_eq!(greeting, "good day, ada");
//! // Without this it ends as after a crash.
//! engine.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).expect("done");
//! ```
//!
//! Begin with [`Step`], [`Workflow::named`] and [`Engine::builder`]. [`StepPolicy`] and [`ErrorClass`] say what follows a failure, [`testing`] runs
//! a workflow in memory on simulated time, [`contract`] is what a store of one's own implements.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod clock;
pub mod config;
pub mod diagnosis;
pub mod error;
pub mod exec;
pub mod integrity;
pub mod observe;
pub mod run;
pub mod schedule;
pub mod testing;
pub mod workflow;

mod explain;
mod groups;
mod lock;
mod redact;
mod views;
mod waits;

/// Compiles and builds what the guide shows.
#[cfg(doctest)]
#[doc = include_str!("../../docs/workflows.md")]
struct Guide;

/// The same for why runs do not move.
#[cfg(doctest)]
#[doc = include_str!("../../docs/explain.md")]
struct Explaining;

/// The same for finding out what happened.
#[cfg(doctest)]
#[doc = include_str!("../../docs/audit.md")]
struct AuditGuide;

/// The same for what it shows of the integrity check.
#[cfg(doctest)]
#[doc = include_str!("../../docs/integrity.md")]
struct IntegrityGuide;

pub use async_trait::async_trait;
pub use config::EngineOptions;
pub use error::{Error, RunError};
pub use exec::builder::EngineBuilder;
pub use exec::bulk::{Asked, AskedInTime, BulkPreview, Selection};
pub use exec::engine::Engine;
pub use exec::fork::ForkRun;
pub use exec::handle::RunHandle;
pub use exec::limits::queue::{Queue, QueueLimits};
pub use exec::limits::queues::{QueuePause, QueueView};
pub use exec::limits::rate::Rate;
pub use exec::outlines::OutlineView;
pub use exec::outside::signal::{SignalPreview, SignalRun};
pub use exec::outside::steps::{OutsideFilter, OutsideStep};
pub use exec::posted::PostedView;
pub use exec::retention::Removed;
pub use exec::runs::Runs;
pub use exec::signals::Stopped;
pub use exec::start::{StartPreview, StartRun};
pub use exec::trail::{Deed, DeedCursor, DeedPage, FoundDeed};
pub use exec::workers::view::{WorkerLeft, WorkerView};
pub use groups::GroupFilter;
pub use integrity::issue::{Issue, IssueKind, Mend, Severity};
pub use integrity::repair::{PlannedWrite, RepairReport};
pub use integrity::validate::{Findings, IntegrityFilter};
pub use observe::audit::{Category, EventCursor, EventFilter, EventPage, FoundEvent};
pub use observe::case_file::{CaseFile, JointCaseFile};
pub use observe::check::{Block, CheckReport, Fitness, RunCheck};
pub use observe::explain::{Explanation, Who};
pub use observe::groups::{FailureGroup, GroupEntry, GroupMember, GroupView, Standing};
pub use observe::stats::{Stats, StatsFilter};
pub use run::actor::Actor;
pub use run::code::{NotACode, OwnCode};
pub use run::outsider::Outsider;
pub use run::place::Place;
pub use run::preview::Preview;
pub use run::report::{OutsideFailure, Report};
pub use run::request::{Ask, Verb};
pub use run::said::Said;
pub use run::token::Token;
pub use run::waiting::OnClose;
pub use schedule::spec::Schedule;
pub use stepwell_contract as contract;
pub use views::Checks;
pub use workflow::child::{Child, ChildRun};
pub use workflow::context::StepContext;
pub use workflow::definition::{BuildError, Definition, ItemResult, Workflow};
pub use workflow::error::{ErrorClass, StepError, StepResult, StepResultExt};
pub use workflow::failure::Failure;
pub use workflow::graph::{Join, Tolerance};
pub use workflow::outline::Outline;
pub use workflow::policy::{Effect, OnChange, OnExhausted, RunPolicy, StepPolicy};
pub use workflow::posted::{PostedNode, PostedStep, PostedWorkflow};
pub use workflow::retry::Retry;
pub use workflow::step::Step;
pub use workflow::suspend::{Heard, Wait, Woken};

/// What a program that has steps needs.
pub mod prelude {
    pub use crate::contract::RunKey;
    pub use crate::workflow::policy::{days, hours, millis, mins, secs};
    pub use crate::{
        Effect, Engine, ErrorClass, OnExhausted, Retry, RunHandle, StartRun, Step, StepContext, StepError,
        StepPolicy, StepResult, StepResultExt, Tolerance, Workflow, async_trait,
    };
}

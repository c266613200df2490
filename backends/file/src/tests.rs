//! The store on a simulated disk: power cuts, failing operations, damaged bytes.

mod crash;
mod damage;
mod faults;
mod work;

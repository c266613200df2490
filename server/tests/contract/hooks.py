"""Lets about half of the requests be about things that are there: ids drawn at random are of nothing."""

import zlib

import schemathesis

THERE = {
    "run": ["succeeded", "failed", "waiting", "paused", "cancelled", "queued", "running"],
    "name": ["yearly"],
    "queue": ["default", "side"],
    "step": ["check", "greet", "hold"],
    "code": ["SW1203", "SW9504"],
}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    for name, there in THERE.items():
        if isinstance(path_parameters, dict) and name in path_parameters:
            draw = zlib.crc32(repr(path_parameters[name]).encode("utf-8", "surrogatepass"))
            if draw % 2 == 0:
                path_parameters[name] = there[draw // 2 % len(there)]
    return path_parameters

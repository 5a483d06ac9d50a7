"""A report like those that job writes, of ResNet-20's size."""

MIB = 2**20
PEAK, BANDWIDTH, HBM = 197e12, 819e9, 16 * 2**30
PARTS = (
    "weights",
    "statistics",
    "slots",
    "batch",
    "activations",
    "temporaries",
    "code",
)


def program(flops=111.3e9, accessed=4.27e9, exchange=0.0, activations=75.0):
    mebibytes = (2.4, 0.01, 2.4, 0.4, activations, 27, 54)
    memory = {
        part: round(size * MIB) for part, size in zip(PARTS, mebibytes, strict=True)
    }
    compute, touch = flops / PEAK, accessed / BANDWIDTH
    seconds = max(compute, touch) + exchange
    return {
        "flops": flops,
        "bytes_accessed": accessed,
        "hbm_bytes_accessed": accessed / 8,
        "flops_per_byte": flops / accessed,
        "memory_bytes": sum(memory.values()),
        "memory": memory,
        "collectives": [
            {
                "kind": "all-reduce",
                "operands": 110,
                "bytes": 1084332,
                "group_size": 4,
                "groups": 2,
                "bytes_by_pass": {"descent": 1078824, "statistics": 5508},
            }
        ],
        "roofline": {
            "compute_seconds": compute,
            "memory_seconds": touch,
            "interconnect_seconds": exchange,
            "step_seconds": seconds,
            "bound": "memory" if touch > compute else "compute",
            "utilization": compute / seconds,
            "images_per_second": 2048 / seconds,
        },
        "compile_seconds": 20.5,
        "is_cached": False,
    }


def topology(**programs):
    """Return one topology's report; 'SAM_step' names the program 'SAM step'."""
    programs = programs or {
        "SAM_step": program(exchange=2.4e-5),
        "plain_step": program(55.6e9, 2.1e9, 1.2e-5, activations=70),
        "evaluation": program(18e9, 0.6e9, activations=0),
    }
    programs = {name.replace("_", " "): found for name, found in programs.items()}
    return {
        "topology": "v5e:2x4",
        "accelerator_type": "v5litepod-8",
        "chips": 8,
        "hosts": 1,
        "replicas": 8,
        "per_replica_batch_size": 256,
        "global_batch_size": 2048,
        "hbm_bytes": HBM,
        "peak_flops_per_second": PEAK,
        "hbm_bytes_per_second": BANDWIDTH,
        "programs": programs,
        "checks": [
            {"program": name, "check": check, "is_passed": True, "detail": detail}
            for name in programs
            for check, detail in (("fits", "0.157 of 16.000 GiB"), ("compiles", ""))
        ],
    }


def whole(*topologies, model="resnet20", **more):
    return {
        "schema_version": 1,
        "config": {
            "model.name": model,
            "dtype": "bfloat16",
            "sam.sync": "global",
            "sam.rho": 0.05,
            "global_batch_size": 2048,
        },
        "libtpu": "0.0.7",
        "runtime": "JAX (pjrt)",
        "topologies": list(topologies) or [topology()],
        **more,
    }

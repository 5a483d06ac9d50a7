"""What a TPU chip can compute, hold and move, for a roofline estimate.

Peaks are those of the matrix units alone, in bfloat16. All but convolutions and matrix
products runs on the vector unit, which is far slower and is not in this table.

The peak of float32 is that of bfloat16, too: by default XLA on TPU rounds the factors
of a float32 convolution or matrix product to bfloat16, multiplies them in one pass and
sums in float32. Higher precision takes several passes: divide the peak by 3 for HIGH
and by 6 for HIGHEST. TensorFlow asks for DEFAULT, unless TensorFloat-32 is off
(`tf.config.experimental.enable_tensor_float_32_execution(False)`), then for HIGHEST.
Float32 does take twice the bytes of bfloat16 in HBM and on the interconnect. Sources:
- "Improve your model's performance with bfloat16", cloud.google.com/tpu/docs/bfloat16
- jax.lax.Precision, docs.jax.dev/en/latest/jax.lax.html (the counts of passes)
- enable_tensor_float_32_execution in TensorFlow 2.16, whose last paragraph is on TPUs;
  the HLO that it makes of a convolution has the precision said here

HBM: the pages write 8 GiB a core for v2, GiB for v3 and v4, GB for v5e and v6e, and for
v5p once GB and now GiB, with the same 95, and GiB for TPU7x. All are taken as GiB,
since JAX's table has 17.2e9 and 34.4e9 bytes for v5e and v6e, and since XLA's messages
add up that way. A program gets less than all: by those messages 7.48 of the 8 GiB of a
v2 core (github.com/sokrypton/ColabFold/issues/62), 30.75 of the 32 GiB of a v4 chip
(github.com/erfanzar/EasyDeL/issues/166) and 15.75 of the 16 GiB of a v5e chip (many
public logs).

Interconnect (ICI): the sum over the links of a chip in one direction, that is what a
chip can send while it receives as much. Google's "bidirectional ICI bandwidth" of v5e,
v5p, v6e and TPU7x is twice this; its older "interchip interconnect BW" of v5e and v5p,
in Gbps, is this. A ring along one axis of the torus uses two links, and a slice without
wraparound on an axis has rings on it at half the rate.

Where sources disagree, the figure here is that of Google's page on the generation or,
where it has none, of Google's papers:
- [CACM] "A Domain-Specific Supercomputer for Training Deep Neural Networks", 2020,
  doi.org/10.1145/3360307
- [ISCA] "TPU v4: An Optically Reconfigurable Supercomputer for Machine Learning with
  Hardware Support for Embeddings", 2023, arxiv.org/abs/2304.01433, table 4
Both were read in quotations by others, not in the original. The comments compare:
- [JAX] github.com/jax-ml/jax, jax/_src/pallas/mosaic/tpu_info.py
- [BOOK] "How to Think About TPUs", jax-ml.github.io/scaling-book/tpus
"""

import dataclasses

_GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Device:
    """The figures of a chip or of a part of one."""

    peak_flops_per_second: float  # For bfloat16 products; a multiply-add counts as two.
    hbm_bytes: int
    hbm_bytes_per_second: float
    ici_bytes_per_second: float  # Over all links together, in one direction.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip(Device):
    """The figures of a whole chip of one generation."""

    # Devices: each core of v2, v3 and TPU7x, but both of v4 and v5p as one.
    replicas_per_chip: int
    torus_dimensions: int
    ici_links: int  # Two a dimension of the torus.
    source: str

    @property
    def replica(self) -> Device:
        """Return the share of one replica while those of its chip do the same.

        Cores of v2, v3 and TPU7x have their own HBM, but share the links: alone, one
        may send at the rate of the chip.
        """
        return Device(
            peak_flops_per_second=self.peak_flops_per_second / self.replicas_per_chip,
            hbm_bytes=self.hbm_bytes // self.replicas_per_chip,
            hbm_bytes_per_second=self.hbm_bytes_per_second / self.replicas_per_chip,
            ici_bytes_per_second=self.ici_bytes_per_second / self.replicas_per_chip,
        )


# By generation, as in `Accelerator.generation` of machines/accelerators.py.
CHIPS = {
    # Its page has no figures and refers to CACM. Disagree: JAX with 16e9 bytes of HBM
    # at 716 GB/s, launch-time pages with 45e12 FLOP/s (180 for four chips).
    "v2": Chip(
        replicas_per_chip=2,
        peak_flops_per_second=46e12,
        hbm_bytes=16 * _GIB,
        hbm_bytes_per_second=700e9,
        ici_bytes_per_second=4 * 496e9 / 8,
        ici_links=4,
        torus_dimensions=2,
        source="CACM; HBM: System Architecture, "
        "cloud.google.com/tpu/docs/system-architecture (8 GiB for each core)",
    ),
    # Disagree: JAX and BOOK with 140e12 FLOP/s, JAX with 825 GB/s of HBM. Its page has
    # no ICI figure. Others have more a link than ISCA's 70 GB/s: CACM 1.35 times that
    # of v2, 84 GB/s; Google at Hot Chips 2020 "650 GB/s", 81 if that is all links both
    # ways; the page's all-reduce of 340 TB/s for 1024 chips, 83; BOOK 100.
    "v3": Chip(
        replicas_per_chip=2,
        peak_flops_per_second=123e12,
        hbm_bytes=32 * _GIB,
        hbm_bytes_per_second=900e9,
        ici_bytes_per_second=4 * 70e9,
        ici_links=4,
        torus_dimensions=2,
        source="TPU v3, cloud.google.com/tpu/docs/v3; ICI: ISCA",
    ),
    # Disagree: JAX with 1230 GB/s of HBM. Its page has no ICI figure; its all-reduce of
    # 1.1 PB/s for 4096 chips makes 45 GB/s a link, as BOOK has it, not ISCA's 50.
    "v4": Chip(
        replicas_per_chip=1,
        peak_flops_per_second=275e12,
        hbm_bytes=32 * _GIB,
        hbm_bytes_per_second=1200e9,
        ici_bytes_per_second=6 * 50e9,
        ici_links=6,
        torus_dimensions=3,
        source="TPU v4, cloud.google.com/tpu/docs/v4; ICI: ISCA",
    ),
    # Disagree: a later version of its page with 800 GiB/s of HBM, which is 859 GB/s;
    # JAX with 820 and BOOK with 810 GB/s side with the earlier one.
    "v5e": Chip(
        replicas_per_chip=1,
        peak_flops_per_second=197e12,
        hbm_bytes=16 * _GIB,
        hbm_bytes_per_second=819e9,
        ici_bytes_per_second=400e9 / 2,
        ici_links=4,
        torus_dimensions=2,
        source="TPU v5e, cloud.google.com/tpu/docs/v5e",
    ),
    # Disagree: JAX with 103e9 bytes (96 GiB) of HBM at 2460 GB/s, BOOK with 96 GB at
    # 2800. The 2575 GiB/s of a later version of its page are the same 2765 GB/s. Its
    # page has no number of links; BOOK has six neighbors, 100 GB/s each way.
    "v5p": Chip(
        replicas_per_chip=1,
        peak_flops_per_second=459e12,
        hbm_bytes=95 * _GIB,
        hbm_bytes_per_second=2765e9,
        ici_bytes_per_second=1200e9 / 2,
        ici_links=6,
        torus_dimensions=3,
        source="TPU v5p, cloud.google.com/tpu/docs/v5p",
    ),
    # Disagree: JAX and BOOK, with 920e12 FLOP/s and 1640 and 1600 GB/s of HBM.
    "v6e": Chip(
        replicas_per_chip=1,
        peak_flops_per_second=918e12,
        hbm_bytes=32 * _GIB,
        hbm_bytes_per_second=1638e9,
        ici_bytes_per_second=800e9 / 2,
        ici_links=4,
        torus_dimensions=2,
        source="TPU v6e, cloud.google.com/tpu/docs/v6e",
    ),
    # Its page has no number of links. They form a 3D torus, so two an axis (cloud.
    # google.com/cluster-toolkit/docs/deploy/gke/gke-tpu-overview). The link between the
    # two halves of a chip is not in this table.
    "tpu7x": Chip(
        replicas_per_chip=2,
        peak_flops_per_second=2307e12,
        hbm_bytes=192 * _GIB,
        hbm_bytes_per_second=7380e9,
        ici_bytes_per_second=1200e9 / 2,
        ici_links=6,
        torus_dimensions=3,
        source="TPU7x (Ironwood), docs.cloud.google.com/tpu/docs/tpu7x",
    ),
}

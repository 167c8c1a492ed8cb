"""Hours of the stages from declared rates."""

from dataclasses import replace

import pytest

from featurize.disk_rates import DiskRates
from featurize.estimate import workload_of_hours
from featurize.rates import Rates
from featurize.stages import Machine, predict

# One hour: 14,400 frames to store, 54,000 video frames to index.
WORKLOAD = workload_of_hours(1, num_views=1, num_cameras=1)
RATES = Rates(
    index_frames_per_second=150,
    decode_frames_per_second=40,
    encode_frames_per_second=20,
    encode_batch_frames=32,
    device="cpu",
    disk=DiskRates(write_bytes_per_second=1e6, read_bytes_per_second=1e9),
)
TWO_CORES = Machine(num_cores=2, num_gpus=0, num_workers=2)
ONE_GPU = Machine(num_cores=16, num_gpus=1, num_workers=1)
STORE_BYTES = 36e6


def values(rates: Rates, machine: Machine) -> dict[str, float]:
    return {
        figure.name: figure.value
        for figure in predict(WORKLOAD, STORE_BYTES, rates, machine, "source").figures
    }


def test_a_stage_takes_its_frames_by_the_rate_of_all_who_do_it():
    hours = predict(WORKLOAD, STORE_BYTES, RATES, TWO_CORES, "source").hours_by_stage
    assert hours == pytest.approx(
        {
            "index": 54_000 / 300 / 3600,
            "decode": 14_400 / 80 / 3600,
            "encode": 14_400 / 40 / 3600,
            "write": 0.01,
        }
    )


def test_the_slowest_stage_is_the_bottleneck():
    assert predict(WORKLOAD, STORE_BYTES, RATES, TWO_CORES, "source").bottleneck == "encode"
    on_a_gpu = replace(RATES, encode_frames_per_second=1000)
    assert predict(WORKLOAD, STORE_BYTES, on_a_gpu, ONE_GPU, "source").bottleneck == "decode"
    assert predict(WORKLOAD, 1e12, on_a_gpu, ONE_GPU, "source").bottleneck == "write"


def test_a_cpu_decodes_and_encodes_in_turn():
    found = values(RATES, TWO_CORES)
    expected = found["index_hours_here"] + found["decode_hours_here"] + found["encode_hours_here"]
    assert found["build_hours_here"] == pytest.approx(expected)


def test_a_gpu_encodes_while_others_decode():
    found = values(RATES, ONE_GPU)
    assert found["encode_hours_here"] > found["decode_hours_here"]
    assert found["build_hours_here"] == found["index_hours_here"] + found["encode_hours_here"]


def test_workers_beyond_the_cores_decode_no_faster():
    many = replace(TWO_CORES, num_workers=64)
    assert values(RATES, many)["decode_hours_here"] == values(RATES, TWO_CORES)["decode_hours_here"]


def test_more_workers_of_one_gpu_decode_faster_and_encode_the_same():
    one, four = (values(RATES, replace(ONE_GPU, num_workers=number)) for number in (1, 4))
    assert one["decode_hours_here"] == pytest.approx(4 * four["decode_hours_here"])
    assert one["encode_hours_here"] == four["encode_hours_here"]


def test_measured_figures_say_so():
    figures = predict(WORKLOAD, STORE_BYTES, RATES, TWO_CORES, "source").figures
    measured = [figure.name for figure in figures if figure.formula.startswith("measured here: ")]
    assert len(measured) == 5
    assert all("second" in name for name in measured)

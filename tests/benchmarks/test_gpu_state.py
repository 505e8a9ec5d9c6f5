"""What nvidia-smi says of a GPU, by a stand-in for it, and the warnings made of it."""

from types import SimpleNamespace

import pytest

from benchmarks import buffers, cuda, gpu_state
from benchmarks.gpu_state import PROCESSES, facts, read, warnings
from tests.helpers.fake_cuda import FakeTorch
from tests.helpers.nvidia_smi import put_nvidia_smi

SAYS = {
    "uuid": "GPU-1-2-3",
    "name": "NVIDIA H100 80GB HBM3",
    "driver_version": "580.65.06",
    "clocks.current.sm": "1980",
    "clocks.max.sm": "1980",
    "clocks.current.memory": "2619",
    "enforced.power.limit": "700.00",
    "temperature.gpu": "41",
    "temperature.memory": "N/A",
    "ecc.mode.current": "Enabled",
    "persistence_mode": "Enabled",
    "mig.mode.current": "[N/A]",
    "clocks_event_reasons.hw_slowdown": "Not Active",
}
APPS = "GPU-1-2-3, 100\nGPU-1-2-3, 101\nGPU-9, 102"


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Put a program that answers queries of fields, and refuses those that it does not know."""

    def put(uuids=("GPU-1-2-3",), unknown=(), apps=APPS):
        known = {field: SAYS.get(field, "0") for field in gpu_state.FIELDS.values()}
        words = [f"{field}) printf '{text}' ;;" for field, text in known.items()]
        for field in unknown:
            says = f"""echo 'Field "{field}" is not a valid field to query.'; echo; exit 2"""
            words.insert(0, f"{field}) {says} ;;")
        rows = "".join(f"\nrow {uuid}" for uuid in uuids)
        script = f"""
row() {{
    separator=
    for field in $(echo "$fields" | tr , ' '); do
        printf "$separator"; separator=', '
        case $field in
        uuid) printf $1 ;;
        {" ".join(words)}
        esac
    done
    echo
}}
fields=${{1#*=}}
case $1 in --query-compute-apps=*) echo '{apps}'; exit ;; esac{rows}"""
        put_nvidia_smi(tmp_path, monkeypatch, script)

    return put


def test_a_state_has_numbers_texts_and_nothing_where_nothing_is_known(smi):
    smi()
    state, problem = read("1-2-3")
    assert problem is None
    assert state["name"] == "NVIDIA H100 80GB HBM3"
    assert (state["SM clock, MHz"], state["power limit, W"]) == (1980, 700.0)
    assert (state["ECC"], state["MIG"], state["memory temperature, C"]) == ("Enabled", None, None)
    assert state["power cap, us"] == 0
    assert state[PROCESSES] == 2


def test_fields_that_an_older_driver_does_not_know_are_left_out(smi):
    counter = "clocks_event_reasons_counters.sw_power_cap"
    smi(unknown=(counter, "clocks_event_reasons.hw_slowdown"))
    state, problem = read("1-2-3")
    assert problem is None
    assert state["slowdown by hardware"] is state["power cap, us"] is None
    assert (state["power brake, us"], state["ECC"]) == (0, "Enabled")


def test_the_gpu_of_several_is_found_by_its_uuid(smi):
    smi(uuids=("GPU-9", "GPU-1-2-3"), apps="GPU-9, 5")
    state, _ = read("1-2-3")
    assert (state["uuid"], state[PROCESSES]) == ("GPU-1-2-3", 0)
    assert read("7") == ({}, "nvidia-smi lists no GPU 7")


def test_a_single_gpu_is_it(smi):
    smi(uuids=("GPU-9",))
    state, _ = read("1-2-3")
    assert (state["uuid"], state[PROCESSES]) == ("GPU-9", 1)


def test_no_answer_is_a_warning(tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch, "echo 'Failed to initialize NVML'; exit 9")
    said = "the GPU's state is not known: nvidia-smi failed: Failed to initialize NVML"
    assert facts(read("1"), read("1")) == {"before": {}, "after": {}, "warnings": [said]}


def test_the_device_is_busy_while_its_clocks_are_read(monkeypatch):
    fake, found = FakeTorch(), []
    for module in (buffers, cuda):
        monkeypatch.setattr(module, "import_torch", lambda: fake)
    monkeypatch.setattr(gpu_state, "read", lambda uuid: found.append((uuid, list(fake.slept))))
    gpu_state.device_state()
    ((uuid, slept),) = found
    assert uuid == "1-2-3"
    assert sum(slept) >= gpu_state.AWAKE


def test_a_device_in_error_is_a_reason(monkeypatch):
    def broken(device):
        raise RuntimeError("CUDA error: an illegal memory access\nmore")

    device = SimpleNamespace(get_device_properties=broken, current_device=lambda: 0)
    monkeypatch.setattr(buffers, "import_torch", lambda: SimpleNamespace(cuda=device))
    assert gpu_state.device_state() == ({}, "RuntimeError: CUDA error: an illegal memory access")


BEFORE = {"SM clock, MHz": 1980, "memory clock, MHz": 2619, PROCESSES: 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"SM clock, MHz": 1965}, []),
        ({"SM clock, MHz": None}, []),
        ({"SM clock, MHz": 1755}, ["the SM clock fell from 1980 to 1755 MHz during the run"]),
        ({"memory clock, MHz": 1593}, ["the memory clock fell from 2619 to 1593 MHz"]),
        ({"thermal slowdown by software": "Active"}, ["reports thermal slowdown by software"]),
        ({"thermal slowdown by software": "Not Active"}, []),
        ({"thermal slowdown by hardware, us": 2_500_000}, ["reports 2.5 s of thermal slowdown"]),
        ({"power brake, us": 10}, ["reports 1e-05 s of power brake during the run"]),
        ({"power cap": "Active"}, []),
        ({PROCESSES: 2}, ["1 other process computed on the GPU"]),
        ({PROCESSES: 4}, ["3 other processes computed on the GPU"]),
        ({PROCESSES: 0}, []),
    ],
)
def test_what_distorts_times_is_a_warning(changes, said):
    found = warnings(BEFORE, {**BEFORE, **changes})
    assert len(found) == len(said)
    assert all(text in whole for text, whole in zip(said, found, strict=True))


@pytest.mark.parametrize("was", [{"power brake": "Active"}, {PROCESSES: 2}])
def test_what_was_so_before_the_run_is_a_warning_too(was):
    assert len(warnings({**BEFORE, **was}, BEFORE)) == 1


def test_a_counter_of_before_the_run_is_none():
    was = {**BEFORE, "power brake, us": 10}
    assert warnings(was, was) == []

"""A stand-in for torch with one CUDA device, whose time and the host's pass by calls alone."""

from types import SimpleNamespace


class FakeTorch:
    """A device with one queue of work, and a host that fills it.

    Attributes:
        now: the host's seconds.
        slept: the lengths of the device's sleeps, in seconds.
        flushed: how often the cache was overwritten.
    """

    uint8 = "uint8"

    def __init__(self, clock=2e9, depth=1000, flush=85e-6):
        self.now, self.slept, self.flushed = 0.0, [], 0
        self._clock, self._depth, self._flush = clock, depth, flush
        self._ends = []  # of the work in the queue
        self.cuda = SimpleNamespace(
            Event=self._event,
            _sleep=self._sleep,
            synchronize=self.synchronize,
            is_available=lambda: True,
            current_device=lambda: 0,
            get_device_properties=lambda device: SimpleNamespace(uuid="1-2-3"),
        )

    def perf_counter(self):
        return self.now

    def work(self, seconds):
        """Let the host do something."""
        self.now += seconds

    def launch(self, seconds, host=5e-6):
        """Enqueue a kernel; return when it will be done. Wait while the queue is full."""
        self.work(host)
        if len(self._ends) >= self._depth:
            self.now = max(self.now, self._ends[-self._depth])
        self._ends.append(max((self.now, *self._ends[-1:])) + seconds)
        return self._ends[-1]

    def synchronize(self):
        self.now = max((self.now, *self._ends[-1:]))

    def empty(self, size, dtype, device):
        assert (dtype, device) == ("uint8", "cuda")
        return SimpleNamespace(zero_=self._zero)

    def _zero(self):
        self.flushed += 1
        self.launch(self._flush)

    def _sleep(self, cycles):
        self.slept.append(cycles / self._clock)
        self.launch(cycles / self._clock)

    def _event(self, enable_timing):
        assert enable_timing
        return FakeEvent(self)


class FakeEvent:
    """An event in the device's queue."""

    def __init__(self, torch):
        self._torch, self.at = torch, None

    def record(self):
        self.at = self._torch.launch(0.0, host=1e-6)

    def query(self):
        return self._torch.now >= self.at

    def elapsed_time(self, end):
        assert end.query(), "not ready"
        return 1e3 * (end.at - self.at)

"""Faults in the guard of each server: what counts as a failure, when the breaker opens, who may probe."""

from tests.mutants.mutant import Mutant

RESILIENCE = "libs/converto_infra/resilience.py"
DEADLINE = "libs/converto_infra/deadline.py"
OF_GUARD = ("tests/unit/infra/test_resilience.py",)

GUARD = (
    Mutant(
        name="an answer of the server counts as a failure",
        file=RESILIENCE,
        old="failed=not error.has_answered",
        new="failed=True",
        harm="one missing queue opens the breaker, and no other message is sent",
        tests=OF_GUARD,
    ),
    Mutant(
        name="failures do not count",
        file=RESILIENCE,
        old="failed=not error.has_answered",
        new="failed=False",
        harm="each request waits for the whole deadline in an outage",
        tests=OF_GUARD,
    ),
    Mutant(
        name="the breaker never half-opens",
        file=RESILIENCE,
        old="self._breaker.half_open()",
        new="pass",
        harm="a service has to be restarted after each outage",
        tests=OF_GUARD,
    ),
    Mutant(
        name="a half-open breaker admits everybody",
        file=RESILIENCE,
        old=" and not self._is_probing\n",
        new="\n",
        harm="a server that comes back meets all waiting callers at once",
        tests=OF_GUARD,
    ),
    Mutant(
        name="a cancelled probe is never repeated",
        file=RESILIENCE,
        old="        if admitted_by is self._breaker.state:\n            self._is_probing = False\n",
        new="        return\n",
        harm="a client that goes away at the wrong moment leaves the breaker open for ever",
        tests=OF_GUARD,
    ),
    Mutant(
        name="results from before an outage count",
        file=RESILIENCE,
        old="        if admitted_by is not self._breaker.state:\n",
        new="        if False:\n",
        harm="a slow failure opens the breaker again after the server is back",
        tests=OF_GUARD,
    ),
    Mutant(
        name="there is no deadline",
        file=RESILIENCE,
        old="await self._calls.within(timeout_s, call)",
        new="await self._calls.within(3600.0, call)",
        harm="requests hang while a server does not answer",
        tests=OF_GUARD,
        may_hang=True,
    ),
    Mutant(
        name="a passing failure is not tried again",
        file=RESILIENCE,
        old="return is_passing and self.state == pybreaker.STATE_CLOSED",
        new="return False",
        harm="a request fails because one connection was closed",
        tests=OF_GUARD,
    ),
    Mutant(
        name="half of the calls may fail",
        file=RESILIENCE,
        old="        if is_failing and self.state == pybreaker.STATE_CLOSED:\n",
        new="        if False:\n",
        harm="a server that fails every second call is never given a rest",
        tests=OF_GUARD,
    ),
    Mutant(
        name="an abandoned call waits for ever",
        file=DEADLINE,
        old="            await asyncio.wait((running,), timeout=self._grace_s)\n",
        new="            await asyncio.wait((running,))\n",
        harm="a driver that ignores its cancellation makes requests hang",
        tests=("tests/unit/infra/test_deadline.py",),
        may_hang=True,
    ),
    Mutant(
        name="a late call is never cancelled",
        file=DEADLINE,
        old="        asyncio.get_running_loop().call_later(self._linger_s, self._cancel_late, running, began_at_s)\n",
        new="",
        harm="calls to a wedged server pile up",
        tests=("tests/unit/infra/test_deadline.py",),
        may_hang=True,
    ),
)

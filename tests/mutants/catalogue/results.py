"""Faults around results that are deleted, lost or copied."""

from tests.mutants.mutant import Mutant

DELETION = "services/file_service/conversions/conversion_objects.py"
STORED_OUTPUTS = "libs/converto_core/conversion/stored_outputs.py"
TRANSITIONS = "libs/converto_core/conversion/transitions.py"
OF_COPIES = ("tests/contract/objects/test_stored_outputs.py", "tests/unit/conversion_worker/single_flight")

RESULTS = (
    Mutant(
        name="objects are deleted before their record",
        file=DELETION,
        old=(
            "        if not await self._conversions.delete_unchanged(conversion):\n            return False\n"
            "        await self._objects.delete(objects)\n        return True\n"
        ),
        new=(
            "        await self._objects.delete(objects)\n"
            "        return await self._conversions.delete_unchanged(conversion)\n"
        ),
        harm="a retry at the same moment has no source, or its record has no result",
        tests=("tests/unit/file_service", "tests/unit/model"),
    ),
    Mutant(
        name="a copy is taken without proof",
        file=STORED_OUTPUTS,
        old="    if verdict is Verdict.UNPROVEN and await judge_content",
        new="    if False and await judge_content",
        harm="a damaged result is handed to everybody who asks for the same",
        tests=OF_COPIES,
    ),
    Mutant(
        name="a result of the right size counts as right",
        file=STORED_OUTPUTS,
        old="return Verdict.INTACT if is_same else Verdict.UNPROVEN",
        new="return Verdict.INTACT",
        harm="damaged results are handed out and copied",
        tests=OF_COPIES,
    ),
    Mutant(
        name="a retry of a lost result has no condition",
        file=TRANSITIONS,
        old='        expected, where["result_lost_at"] = {Status.COMPLETED}, conversion.result_lost_at\n',
        new="        expected = {Status.COMPLETED}\n",
        harm="a result that was found again is thrown away",
        tests=("tests/unit/core/test_transitions.py", "tests/unit/file_service/conversions"),
    ),
    Mutant(
        name="a completed conversion may run again",
        file=TRANSITIONS,
        old="        if conversion.result_lost_at is None:\n",
        new="        if False:\n",
        harm="a right result is thrown away",
        tests=("tests/unit/core/test_transitions.py", "tests/unit/file_service/conversions"),
    ),
)

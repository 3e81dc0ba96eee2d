"""`hf-globalpointer train`."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .common import OVERLAP_HELP, InputError, Overlap, say
from .inputs import readable_file
from .resuming import interruptible


class Head(StrEnum):
    """The two span heads."""

    efficient = "efficient"
    full = "full"


Encoder = Annotated[str, typer.Option(help="Pretrained encoder, of any kind: folder or Hub id.")]
TrainFile = Annotated[Path, typer.Option(help="Training examples.", callback=readable_file)]
DevFile = Annotated[Path, typer.Option(help="Examples to choose the best epoch by.", callback=readable_file)]
OutputFolder = Annotated[Path, typer.Option(help="Folder for the checkpoint; must not exist, or be empty.")]
TestFile = Annotated[Path | None, typer.Option(help="Examples for a final test.", callback=readable_file)]
HeadOption = Annotated[Head, typer.Option(help="That of Efficient GlobalPointer, or of GlobalPointer: the full one.")]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Passes over the training examples; else so many that there are 800 steps, from 10 to 40.",
        show_default=False,
    ),
]
EncoderRate = Annotated[
    float | None,
    typer.Option(
        help="Peak learning rate of the encoder; else 5e-5, or 1e-4 if its hidden size is under 512.",
        show_default=False,
    ),
]
HeadRate = Annotated[float, typer.Option(help="Peak learning rate of the head.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Examples in a batch.")]
Patience = Annotated[int | None, typer.Option(min=1, help="Stop after this many epochs without a better dev F1.")]
Joined = Annotated[
    float,
    typer.Option(
        min=0,
        help="Tokens of joined texts for each token of the examples: the examples come again joined to texts as "
        "long as a window, so that the model knows long texts too. 0 for none, and half the time.",
    ),
]
OverlapRule = Annotated[
    Overlap | None,
    typer.Option(help=f"{OVERLAP_HELP} Else as the training examples.", show_default=False),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Tokens of the windows in which texts are read; else what holds 99 of 100 training examples, and at "
        "least 192.",
    ),
]
WordAligned = Annotated[
    bool, typer.Option("--word-aligned", help="Learn and predict only entities that begin and end where words do.")
]
GradientAccumulation = Annotated[
    int, typer.Option(min=1, help="Batches of a step: for batches that do not fit in memory at once.")
]
Bf16 = Annotated[
    bool, typer.Option("--bf16", help="Compute the encoder in bfloat16, where the hardware is faster with it.")
]
ReportTo = Annotated[
    str, typer.Option(help="Tracker of the training, as Transformers knows it: tensorboard, wandb, ...")
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of initialization, order and dropout.")]
ModelId = Annotated[
    str | None, typer.Option(help="Hub id that the model will have, for its card; else the name of the folder.")
]
DatasetName = Annotated[
    str | None, typer.Option(help="Name or Hub id of the data, for the card; else that of the training file.")
]
Language = Annotated[str | None, typer.Option(help="Language of the texts, for the card: ISO 639 code, such as en.")]
License = Annotated[
    str | None, typer.Option(help="License of the model, for the card, as the Hub spells it, such as apache-2.0.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --output that was interrupted.")]


def train(
    encoder: Encoder,
    train: TrainFile,
    dev: DevFile,
    output: OutputFolder,
    test: TestFile = None,
    head: HeadOption = Head.efficient,
    epochs: Epochs = None,
    encoder_lr: EncoderRate = None,
    head_lr: HeadRate = 1e-3,
    batch_size: BatchSize = 16,
    patience: Patience = None,
    joined: Joined = 1.0,
    overlap: OverlapRule = None,
    max_length: MaxLength = None,
    word_aligned: WordAligned = False,
    gradient_accumulation: GradientAccumulation = 1,
    bf16: Bf16 = False,
    report_to: ReportTo = "none",
    seed: Seed = 42,
    model_id: ModelId = None,
    dataset_name: DatasetName = None,
    language: Language = None,
    license: License = None,
    resume: Resume = False,
) -> None:
    """Fine-tune an encoder, keep the epoch with the best dev F1, and write checkpoint, model card and metrics.json."""
    # These take seconds to import.
    from ..training.fine_tuning import CHECKPOINTS_NAME, fine_tune
    from .tables import metrics_table

    go_on = "; the same command with --resume goes on from the last complete epoch"
    checkpoints = output / CHECKPOINTS_NAME
    if resume and not output.exists():
        say(f"There is no run in {output} to resume; this one begins anew.")
    with _log_shown(), interruptible(lambda: go_on if any(checkpoints.glob("checkpoint-*")) else ""):
        try:
            result = fine_tune(
                encoder,
                train,
                dev,
                output,
                test,
                head=head.value,
                epochs=epochs,
                encoder_lr=encoder_lr,
                head_lr=head_lr,
                batch_size=batch_size,
                gradient_accumulation=gradient_accumulation,
                patience=patience,
                joined=joined,
                overlap=None if overlap is None else overlap.value,
                max_length=max_length,
                word_aligned=word_aligned,
                bf16=bf16,
                seed=seed,
                report_to=report_to,
                resume=resume,
                model_id=model_id,
                dataset_name=dataset_name,
                language=language,
                license=license,
            )
        except ValueError as error:
            raise InputError(str(error)) from error
    for name, metrics in result.metrics.items():
        Console().print(metrics_table(metrics, name))
    say(f"Checkpoint, model card and metrics.json are in {output}.")


@contextmanager
def _log_shown() -> Iterator[None]:
    """Show what the package logs, such as the rules of the data, on standard error."""
    logger, handler = logging.getLogger("hf_globalpointer"), logging.StreamHandler()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)

"""The sentences of the report that do not depend on its numbers."""

TITLE = "Denoising autoencoders on gene expression: the paper's results and ours"
CLAIMS = (
    "“Holds” needs every part of the claim to point its way with p ≤ 0.05; “does not hold” needs one part reversed "
    "with p ≤ 0.05 after Holm's adjustment; “undecided” says how many seeds would decide. As published is judged on "
    "clean training rows, as the scripts measured; as written on noisy test rows, as the text says."
)
DIVISION = (
    "An MSE divided once more by a number of samples n. Printed × n gives the MSE back: Fig. 4 is Fig. 6 at noise 0.5 "
    "divided by N = 2921, and Fig. 10 is C / n with C about 1."
)
PARTS = "One row a comparison, paired over seeds; positive where the claim says so. p: sign-flip permutation test."
STEPS = "As published, with one item changed at a time."
PAPER = (
    "Figures 1 to 10 under their own numbers. Published numbers stand with their reading precision; the as-published "
    "rerun is measured on clean training rows as the paper's scripts did; as written, on noisy test rows. Bars are 95 "
    "% intervals over seeds. What these runs do not hold is marked as not there."
)
REFERENCES = (
    "What a denoiser has to beat: leaving the noisy input alone (MSE α²), answering each gene's mean (about 1), PCA "
    "at the code size, and the linear Wiener filter."
)
QUESTIONS = (
    "The paper ends with questions. Each has a grid or a search of its own; the networks of one question share split, "
    "seeds, batch order and noise draws, and differences are paired by seed."
)
AUTOPSY = (
    "The protocol of the paper's scripts with one item set right at a time, measured as they measured: which item "
    "makes a claim appear or vanish."
)
NO_AUTOPSY = "These runs hold no autopsy. python run_study.py --grid autopsy trains it; give its folder beside these."
ONE_SPLIT = (
    "All networks share one split into training, validation and test samples. Intervals over seeds hold the spread of "
    "weights, batches and noise, and leave out the spread from split to split: they are too narrow for a statement "
    "about other samples."
)
FEW_SEEDS = (
    "With fewer than 6 the two-sided sign-flip test cannot reach p = 0.05 whatever the effect, and intervals rest on "
    "the assumption of normal differences (Student's t below 10 seeds)."
)
EPOCHS = (
    "As-written networks train until validation MSE levels off (a fixed number of epochs a model); longer runs still "
    "gain a few percent, and the order of the depths can depend on it."
)
PROTOCOLS = (
    "MSE on clean training rows and MSE on noisy test rows are different quantities. Only the first is comparable "
    "with the paper's curves; only the second says how well noise is removed."
)
SLOPE = (
    "C3 and C4 are judged by the slope of MSE over the noise factor, one number a seed: a curve that falls and then "
    "rises can have a slope near 0. Figs. 6 to 10 show the curves."
)
READ_OFF = (
    "The paper's Figs. 6–8 are read off plots to the precision shown; Fig. 9 has no scale and is only known to be "
    "about 1."
)
SIMULATED_LIMIT = (
    "The cohort has GTEx's correlations and variance between sites, but it is a mixture model: what holds here "
    "need not hold on measured expression. Give --data to run on your own."
)
COMMANDS = "Each run is repeated by its own command (with --fresh, or another --out, where the folder still exists)."
AGAIN = "One network alone is trained again and compared with what is recorded here:"
LOST = "Their numbers enter no mean. Errors as they were reported."
CHECKLIST = (
    "The machine-learning reproducibility checklist (Pineau et al. 2021, JMLR 22:164), filled from the results "
    "themselves."
)
FILES = (
    "Beside this page: report.md (the same as Markdown), figures/ (each figure as PNG, SVG and the CSV it is drawn "
    "from), tables/ (each table as CSV and LaTeX), ro-crate-metadata.json (what the folder holds, as an RO-Crate). "
    "Every network is a row of members.parquet in its run folder."
)

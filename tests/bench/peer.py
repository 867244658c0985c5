"""Python's `lifetimes` on the customers that our example simulated: FILE COUNT FEW."""

import resource
import sys
import time

import pandas
from lifetimes import BetaGeoFitter, ParetoNBDFitter


def timed(what, work, found=lambda result: ""):
    """Does the work and prints a line of the table."""
    with open("/proc/self/clear_refs", "w") as file:
        # The peak starts anew.
        file.write("5")
    began, before = time.perf_counter(), processor()
    result = work()
    wall, cpu = time.perf_counter() - began, processor() - before
    print("lifetimes", what, f"{wall:.2f}", f"{cpu:.2f}", peak(), found(result), sep="\t", flush=True)
    return result


def processor():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak():
    with open("/proc/self/status") as file:
        held = next(line for line in file if line.startswith("VmHWM"))
    return int(held.split()[1]) // 1024


def parameters(fitter):
    return " ".join(f"{name} {value:.5f}" for name, value in fitter.params_.items())


def main():
    path, count, few = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    customers = pandas.read_csv(path)
    columns = lambda n: (customers.x[:n], customers.t_x[:n], customers.age[:n])
    bg = timed(f"fit BG/NBD, {count:,} raw rows", lambda: BetaGeoFitter().fit(*columns(count)), parameters)
    timed(
        f"expected orders and P(alive), {count:,}, BG/NBD",
        lambda: (
            bg.conditional_expected_number_of_purchases_up_to_time(52, *columns(count)),
            bg.conditional_probability_alive(*columns(count)),
        ),
    )
    timed(f"fit Pareto/NBD, {few:,} raw rows", lambda: ParetoNBDFitter().fit(*columns(few)), parameters)


main()

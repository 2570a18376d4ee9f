# SPDX-License-Identifier: BSD-3-Clause
"""Drivers of the public suites, and the comparison of their results."""

# SPDX-License-Identifier: BSD-3-Clause
"""The mount suite: the kernel's own FUSE client against viofsd, compared with the bare host."""

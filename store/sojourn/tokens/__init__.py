"""Tokens: what a client presents instead of a session's id, which is a handle and no proof."""

from sojourn.tokens.form import TOKEN_PATTERN, is_token, make_token, masked_tokens, parse_token
from sojourn.tokens.model import TokenFamily, TokenPair

__all__ = ["TOKEN_PATTERN", "TokenFamily", "TokenPair", "is_token", "make_token", "masked_tokens", "parse_token"]
